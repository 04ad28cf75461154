"""The bundled journal of a market: whole, of this layout, what its page says, and small."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

from click.testing import CliRunner

from consumers.journal import JournalReader
from tlv.codes import Flag
from tlv.layout import LAYOUT_DIGEST, Block, PoolBurn, PoolMint, PoolSwap, PoolTicks, Reorg, Session
from tlv.message import Message, parse
from tools.market.bundle import bundled_market_journal
from tools.market.command import command
from tools.market.recorded import PROVENANCE

MOST_BYTES = 3_000_000
FOLDER = bundled_market_journal().parent


def bundled_messages() -> list[Message]:
    found = []
    with JournalReader(bundled_market_journal()) as reader:
        while len(poll := reader.poll()):
            found += [parse(bytes(frame.payload)) for frame in poll]
    return found


def test_bundled_journal_is_ten_dense_minutes_without_a_loss() -> None:
    messages = bundled_messages()
    assert [message.header.sequence for message in messages] == list(range(1, len(messages) + 1))
    kinds = Counter(type(record) for message in messages for record in message.records)
    assert kinds[PoolSwap] > 4_000 and kinds[Reorg] >= 20
    assert min(kinds[PoolMint], kinds[PoolBurn], kinds[PoolTicks]) >= 9
    blocks = [one for message in messages if (one := message.first(Block)) is not None]
    session = next(one for message in messages if (one := message.first(Session)) is not None)
    assert session.chain_id == 31337, "no chain that anybody uses"
    assert 595 <= blocks[-1].timestamp - blocks[0].timestamp <= 620
    assert not any(message.header.flags & Flag.REPLAY for message in messages)


def test_page_of_the_bundled_journal_names_its_command_its_layout_and_its_checksums() -> None:
    page = (FOLDER / PROVENANCE).read_text()
    assert "Made on a local node, of no real chain" in page
    assert f"{LAYOUT_DIGEST:#018x}" in page, "made again with the command on its page"
    sums = dict(re.findall(r"^\| `(\S+)` \| `([0-9a-f]{64})` \|$", page, re.MULTILINE))
    files = {str(path.relative_to(FOLDER)): path for path in bundled_market_journal().iterdir()}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == sums
    assert sum(path.stat().st_size for path in files.values()) < MOST_BYTES
    options = re.search(r"^alphapulse market (.*)$", page, re.MULTILINE)
    assert options is not None
    command.make_context("market", options[1].split(), resilient_parsing=True)  # each of them is still one


def test_journal_path_is_printed_without_a_node() -> None:
    told = CliRunner().invoke(command, ["--journal-path"])
    assert (told.exit_code, told.output) == (0, f"{bundled_market_journal()}\n")
