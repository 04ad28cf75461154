"""`alphapulse coverage`: the command.  Owns its options, the walk over a journal or a ring, and its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import numpy as np

from consumers.journal import JournalReader
from consumers.progress import watched
from consumers.select_frames import select_frames
from producers.chains.configuration import BUNDLED, ChainConfig, load_chain
from ringbuf import CorruptRing, Poll, Reader, Status
from tlv.errors import FrameError, UsageError
from tlv.filter import MessageFilter
from tlv.layout import LAYOUT_DIGEST
from tlv.message import parse
from tools.anomalies import RECORD_BYTES, bytes_of
from tools.command.completing import complete_chain, complete_ring
from tools.command.interrupt import Interrupt
from tools.command.progress import progress, progress_option
from tools.coverage.account import RECORDS, SwapAccount
from tools.coverage.report import lines, to_dict

WANTED = MessageFilter.of(types=list(RECORDS)).tables
INCOMPLETE = 3
"""Exit code: done, but frames are missing."""
INTERRUPTED = 130


@click.command("coverage", epilog="Example:  alphapulse coverage --journal journals/market.polygon --json")
@click.option(
    "--journal", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Journal of a collector's ring."
)
@click.option("--ring", shell_complete=complete_ring, help="A collector's ring: what is still in it, read once.")
@click.option(
    "--chain",
    shell_complete=complete_chain,
    help="polygon, ethereum, base or a TOML file: names factories.  [default: the bundled one of its chain id]",
)
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(journal: Path | None, ring: str | None, chain: str | None, as_json: bool) -> int:
    """Say which share of a chain's swaps was published, and what is known of the others, by kind and factory.

    Every log whose topic is a swap of a known kind is counted: published, unproven, unsupported (of a factory that the
    chain file does not name), no pool, filtered or refused.  Uncounted must be 0.  Factories that are not configured
    and whose pools look like Uniswap V2's or V3's are listed with the lines that would configure them.

    The exit code is 1 if a block's numbers do not add up, and 3 if frames are missing.
    """
    if (journal is None) == (ring is None):
        found = "neither" if journal is None else "both"
        raise UsageError(f"--journal, --ring: expected one of them, found {found}")
    config = load_chain(chain) if chain is not None else None
    account = SwapAccount()
    with Interrupt() as asked:
        walk = of_journal(journal, account) if journal is not None else of_ring(str(ring), account)
        for poll in walk:
            add(account, poll)
            if asked():
                return INTERRUPTED
    account.close()
    if not account.blocks + account.cut + account.open:
        where = f"journal {journal}" if journal is not None else f"ring {ring}"
        raise UsageError(f"{where}: expected a collector's blocks, found none")
    if config is not None and account.chain_id not in (0, config.chain_id):
        raise UsageError(f"--chain {chain}: expected one of chain id {account.chain_id}, found {config.chain_id}")
    said = to_dict(account, config or bundled(account.chain_id))
    if as_json:
        click.echo(msgspec.json.encode(said))
    else:
        click.echo("\n".join(lines(said)))
    lost = any(gap.scope == "frames" for gap in account.gaps)
    return 1 if account.uncounted else INCOMPLETE if lost else 0


def of_journal(journal: Path, account: SwapAccount) -> Iterator[Poll]:
    """Every poll of a journal, to its present end."""
    with JournalReader(journal) as reader:
        yield from watched(_polls(reader, account), progress("counting", bytes_of(journal)))


def _polls(reader: JournalReader, account: SwapAccount) -> Iterator[tuple[Poll, int]]:
    uuid = reader.uuid
    while True:
        poll = reader.poll()
        if reader.uuid != uuid:
            uuid = reader.uuid
            account.begin_ring()
        yield poll, int(poll.lengths.sum()) + len(poll) * RECORD_BYTES
        if poll.status in {Status.EMPTY, Status.CLOSED}:
            return


def of_ring(name: str, account: SwapAccount) -> Iterator[Poll]:
    """Every poll of what a ring holds now."""
    with Reader.attach(name, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        while True:
            poll = reader.poll()
            if poll.status is Status.CORRUPT:
                raise CorruptRing(f"ring {name}: no frame at sequence {reader.sequence}")
            if poll.status is Status.EPOCH_CHANGED:
                account.begin_ring()
            yield poll
            if not len(poll) and poll.status in {Status.EMPTY, Status.CLOSED}:
                return


def add(account: SwapAccount, poll: Poll) -> None:
    """Count what a poll brought; a frame that is no message is missing."""
    if poll.loss is not None:
        account.lose(poll.loss.first, poll.loss.last)
    chosen = np.zeros(len(poll), dtype=np.int64)
    for at in chosen[: select_frames(poll.buffer, poll.offsets, poll.lengths, WANTED, chosen)].tolist():
        frame = poll[at]
        try:
            message = parse(frame.payload, verify=False)
        except FrameError:
            account.lose(frame.sequence, frame.sequence)
            continue
        account.take(message)


def bundled(chain_id: int) -> ChainConfig | None:
    """The bundled chain of this id; None if there is none."""
    return next((chain for chain in map(load_chain, BUNDLED) if chain.chain_id == chain_id), None)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "coverage")
