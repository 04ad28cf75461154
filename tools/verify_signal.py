"""`alphapulse verify-signal`: recompute arbitrage signals from their own bytes.

Owns where the bytes come from and what is said of each signal; `consumers.arbitrage.signal` recomputes.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from consumers.arbitrage.signal import verify_signal
from tlv.errors import FrameError, TlvError, UsageError
from tlv.layout import ArbitrageSignal, SignalIdentity, SignalWithdrawn
from tlv.message import Message, parse
from tools.command.completing import complete_ring
from tools.command.given import refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.needs import needs
from tools.command.progress import progress_option
from tools.command.say import say
from tools.command.stderr_log import tell_operator
from tools.dump import DumpedLoss, DumpedMessage, Stop, journal_entries, relay_entries, ring_entries
from tools.evm.seeded_pools import SeededPools
from tools.evm.signals import Execution, execute_on_market, execute_signal, key_of

HEX_BYTES = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})+)")


@click.command(
    "verify-signal",
    epilog="Example:  alphapulse verify-signal --ring signal.flash_arbitrage --sequence 12 --json",
)
@click.option("--ring", shell_complete=complete_ring, help="Ring of signals to read.")
@click.option(
    "--relay", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Socket of a relay to read."
)
@click.option(
    "--journal", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Journal of signals to read."
)
@click.option("--hex", "as_hex", metavar="BYTES", help="One message in hexadecimal digits; - reads them from stdin.")
@click.option("--sequence", type=click.IntRange(1), help="Only the signal in this frame.")
@click.option("--evm", is_flag=True, help="Swap each leg by the real contracts too, inside this process.")
@click.option(
    "--market",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="With --evm: journal of the market ring that the signals are about. States and ticks are taken from it.",
)
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each signal, and one at the end.")
@needs("pyrevm", option="--evm")
def command(
    ring: str | None,
    relay: Path | None,
    journal: Path | None,
    as_hex: str | None,
    sequence: int | None,
    evm: bool,
    market: Path | None,
    as_json: bool,
) -> int:
    """Recompute signals of the arbitrage strategy from the states, fees and gas that they state themselves.

    A signal whose amounts, profit or cost do not follow is named with what differs, and the exit status is 1.  A
    withdrawal states nothing to recompute; messages of other strategies are passed over.

    --evm swaps each leg by the published code of Uniswap V2, V3 or Algebra, in a pool that is put into the state that
    the leg states, or with --market into the state that the market's journal has at the frame behind the signal; what
    is stated otherwise than there is told, too.  A leg for which there is no contract counts as not executed, and the
    exit status is 1.
    """
    sources = {"--ring": ring, "--relay": relay, "--journal": journal, "--hex": as_hex}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise UsageError(f"expected one of {', '.join(sources)}, found {' and '.join(given) or 'none'}")
    if as_hex is not None and sequence is not None:
        raise UsageError("--sequence: --hex is one message alone")
    if not evm:
        refuse_without_effect("without --evm", "--market")
    with Interrupt() as asked:
        entries = _entries(ring, relay, journal, as_hex, asked)
        execute: Execute | None = None
        if market is not None:
            read = list(entries)
            entries, execute = iter(read), _on_market(read, market)
        elif evm:
            execute = partial(execute_signal, pools=SeededPools())
        verdicts = Verdicts(as_json, execute)
        for found in entries:
            if isinstance(found, DumpedLoss):
                lost = f"{found.ring}: {found.first} to {found.last} are lost"
                tell_operator(f"verify-signal: {lost}", lost)
            elif sequence is None or found.sequence == sequence:
                verdicts.take(found, is_one=sequence is not None)
            if sequence is not None and isinstance(found, DumpedMessage) and found.sequence >= sequence:
                break
    if sequence is not None and not verdicts.frames:
        raise TlvError(f"{given[0]} {sources[given[0]]}: expected a frame of sequence {sequence}, found none")
    return verdicts.end()


def _entries(
    ring: str | None, relay: Path | None, journal: Path | None, as_hex: str | None, stop: Stop
) -> Iterator[DumpedMessage | DumpedLoss]:
    if ring is not None:
        return ring_entries(ring, follow=False, latest=False, stop=stop)
    if relay is not None:
        return relay_entries(relay, follow=False, latest=False, stop=stop)
    if journal is not None:
        return journal_entries(journal, follow=False, latest=False, stop=stop)
    text = "".join((sys.stdin.read() if as_hex == "-" else as_hex or "").split())
    digits = HEX_BYTES.fullmatch(text)
    if digits is None:
        raise UsageError(f"--hex: expected an even number of hexadecimal digits, found {text[:40]!r}")
    return iter([DumpedMessage("--hex", 0, bytes.fromhex(digits[1]))])


Execute = Callable[[Message], Execution]


def _on_market(entries: Sequence[DumpedMessage | DumpedLoss], market: Path) -> Execute:
    """What the contracts say of each of these signals in the states of a market journal."""
    messages = []
    for entry in entries:
        if isinstance(entry, DumpedMessage):
            with contextlib.suppress(FrameError):
                messages.append(parse(entry.data))
    signals = [message for message in messages if message.first(ArbitrageSignal) is not None]
    found = execute_on_market(signals, market, SeededPools())
    missing = Execution([], ["the market's journal does not hold the frame behind it"])

    def execute(message: Message) -> Execution:
        key = key_of(message)
        return missing if key is None else found.get(key, missing)

    return execute


class Verdicts:
    """Says what was found of each signal, and counts; `execute`: what the contracts say of it."""

    def __init__(self, as_json: bool, execute: Execute | None) -> None:
        self._json = as_json
        self._execute = execute
        self.frames = 0
        """Frames that were looked at."""
        self._counts = dict.fromkeys(("right", "wrong", "withdrawals", "broken", "others"), 0)
        if execute is not None:
            self._counts["not_executed"] = 0

    def take(self, found: DumpedMessage, *, is_one: bool) -> None:
        """Look at one message; `is_one`: it was asked for alone, so that it is said what it is.

        Raises:
            TlvError: it was asked for alone, and is neither a signal of the strategy nor a withdrawal.
        """
        self.frames += 1
        where = f"{found.ring} {found.sequence}"
        try:
            message = parse(found.data, where=where)
        except FrameError as error:
            self._counts["broken"] += 1
            self._say(found, {"broken": str(error)}, str(error))
            return
        if message.first(SignalWithdrawn) is not None:
            self._counts["withdrawals"] += 1
            if is_one:
                self._say(found, {"withdrawal": True}, f"{where}: a withdrawal, which states nothing to recompute")
            return
        if message.first(ArbitrageSignal) is None and not (is_one or found.ring == "--hex"):
            self._counts["others"] += 1
            return
        try:
            wrong = verify_signal(message)
        except TlvError as error:
            if message.first(ArbitrageSignal) is None:
                raise TlvError(f"{where}: {error}") from None
            wrong = [str(error)]
        self._judge(found, message, wrong, is_one=is_one)

    def _judge(self, found: DumpedMessage, message: Message, wrong: list[str], *, is_one: bool) -> None:
        where = f"{found.ring} {found.sequence}"
        executed = None if self._execute is None or wrong else self._execute(message)
        wrong = executed.wrong if executed is not None else wrong
        self._counts["wrong" if wrong else "right"] += 1
        identity = message.first(SignalIdentity)
        line = {"signal_id": str(identity.signal_id) if identity else None, "right": not wrong, "differences": wrong}
        if executed is not None:
            line["not_executed"] = executed.unjudged
            self._counts["not_executed"] += bool(executed.unjudged)
        if executed is not None and executed.unjudged and not wrong:
            self._say(found, line, "\n".join(f"{where}: not executed: {reason}" for reason in executed.unjudged))
        elif wrong:
            self._say(found, line, "\n".join(f"{where}: {difference}" for difference in wrong))
        elif self._json or is_one:
            self._say(found, line, f"{where}: follows from its own bytes")

    def end(self) -> int:
        """Say the counts; the exit status."""
        counts = self._counts
        sentence = (
            "{right} signals follow from their own bytes, {wrong} do not; {withdrawals} withdrawals, {broken} broken "
            "frames, {others} messages of others"
        )
        if self._execute is not None:
            sentence += "; the contracts could not be asked about {not_executed}"
        say(dict(counts), sentence.format(**counts), self._json)
        return 1 if counts["wrong"] or counts["broken"] or counts.get("not_executed") else 0

    def _say(self, found: DumpedMessage, line: dict[str, Any], sentence: str) -> None:
        say({"ring": found.ring, "sequence": found.sequence, **line}, sentence, self._json)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "verify-signal")
