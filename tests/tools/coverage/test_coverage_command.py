"""`alphapulse coverage`: the same of a ring and its journal, what is missing, lines that configure, errors by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consumers.journal import JournalError
from producers.chains import configuration
from ringbuf import RingNotFound, Writer
from tests.consumers.journal_frames import append, open_writer
from tests.producers.collected import recorded_rows
from tests.producers.swap_accounts import SWAP_TOPICS
from tests.tools.coverage.told import FACTORY, POOL, STRANGER, Told, uncovered
from tlv.codes import GapScope, NotPublished, Protocol, Reason
from tlv.errors import AlphaPulseError, UsageError
from tlv.layout import LAYOUT_DIGEST, Gap
from tools.chain.command import check
from tools.coverage.command import command
from tools.prove.anomalies.recorded import recorded

CHAINS = Path(configuration.__file__).parent
UNKNOWN = b"\x77" * 20


def run(*arguments: object) -> tuple[int, str]:
    """(exit code, what it prints); what it raises is raised."""
    done = CliRunner().invoke(command, [*map(str, arguments)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.stdout


def said(*arguments: object) -> tuple[int, dict[str, Any]]:
    code, text = run(*arguments, "--json")
    return code, json.loads(text)


def small_chain() -> Told:
    """Two blocks: three published, and some of each other outcome."""
    told = Told()
    told.session()
    told.state()
    told.block(1)
    for log in range(3):
        told.swap(1, log)
    v3 = uncovered(4, NotPublished.UNSUPPORTED, b"\x66" * 20, b"\x88" * 20, Protocol.UNISWAP_V3)
    others = uncovered(2, NotPublished.UNSUPPORTED, factory=UNKNOWN), uncovered(1, NotPublished.REFUSED, POOL, FACTORY)
    told.end(1, 10, *others, v3)
    told.block(2)
    told.end(2, 5, uncovered(2, NotPublished.NO_POOL, b"\x44" * 20), uncovered(3, NotPublished.UNSUPPORTED, bytes(20)))
    return told


def recorded_in(directory: Path, payloads: list[bytes]) -> Path:
    with open_writer(directory) as writer:
        append(writer, payloads, 1)
    return directory


def test_swaps_of_a_journal_and_of_its_ring_are_told_by_kind_venue_and_factory(tmp_path: Path, ring_name: str) -> None:
    payloads = small_chain().payloads
    recorded_in(tmp_path, payloads)
    code, found = said("--journal", tmp_path)
    assert code == 0
    assert (found["swaps"], found["published"], found["uncounted"], found["share"]) == (15, 3, 0, 0.2)
    assert (found["blocks"], found["cut_blocks"], found["open_blocks"], found["gaps"]) == (2, 0, 0, [])
    published = found["by_kind"][1] if found["by_kind"][0]["factory"] != f"0x{FACTORY.hex()}" else found["by_kind"][0]
    assert published == {
        "kind": "UNISWAP_V2",
        "venue": "polygon.dfyn",
        "factory": f"0x{FACTORY.hex()}",
        **{"published": 3, "unproven": 0, "unsupported": 0, "no_pool": 0, "filtered": 0, "refused": 1},
    }
    assert {one["emitter"]: one["swaps"] for one in found["emitters"]} == {
        **{f"0x{'66' * 20}": 4, "": 3, f"0x{'44' * 20}": 2, f"0x{STRANGER.hex()}": 2, f"0x{POOL.hex()}": 1}
    }
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        for payload in payloads:
            writer.publish(payload)
        assert said("--ring", ring_name) == (0, found), "while its writer lives"
    code, text = run("--journal", tmp_path)
    assert text.startswith("15 swaps in 2 blocks: 3 published (20.00 %), 0 uncounted\n") and code == 0
    assert "[[factories]]" in text and "polygon.dfyn" in text


def test_lines_for_unknown_factories_pass_chain_check(tmp_path: Path) -> None:
    told = small_chain()
    _, found = said("--journal", recorded_in(tmp_path / "journal", told.payloads))
    unknown = found["unknown_factories"]
    assert [(one["factory"], one["kind"], one["swaps"], one["emitters"]) for one in unknown] == [
        (f"0x{'88' * 20}", "UNISWAP_V3", 4, 1),
        (f"0x{UNKNOWN.hex()}", "UNISWAP_V2", 2, 1),
    ]
    assert "fee_pips" not in unknown[0]["toml"] and "fee_pips = 3000  # must be checked" in unknown[1]["toml"]
    chain = tmp_path / "wider.toml"
    chain.write_text("\n".join([(CHAINS / "polygon.toml").read_text(), *(one["toml"] for one in unknown)]))
    before = len(configuration.load_chain("polygon").factories)
    done = CliRunner().invoke(check, [str(chain)], standalone_mode=False)
    assert done.return_value == 0 and f"{before + 2} factories" in done.stdout, done.stdout
    _, again = said("--journal", tmp_path / "journal", "--chain", chain)
    venues = {one["factory"]: one["venue"] for one in again["by_kind"]}
    assert venues[f"0x{UNKNOWN.hex()}"] == f"polygon.f{UNKNOWN.hex()[:8]}"


def test_block_that_does_not_add_up_is_named_and_missing_frames_too(tmp_path: Path) -> None:
    told = small_chain()
    told.put(Gap(30, 31, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK))
    told.block(3)
    lost = recorded_in(tmp_path / "lost", told.payloads)
    told.end(3, 1)
    with open_writer(lost) as writer:
        writer.append_gap(len(told.payloads), 20, Reason.LAPPED)
        append(writer, told.payloads[-1:], 21)
    code, text = run("--journal", lost)
    assert code == 3
    assert "blocks 30 to 31 are missing" in text and f"frames {len(told.payloads)} to 20 are missing" in text
    assert "1 blocks are left out: a part of what was said of them is missing here" in text
    told.whole(4)
    told.end(4, 3)
    code, text = run("--journal", recorded_in(tmp_path / "wrong", told.payloads))
    assert code == 1 and "block 4 (0x01" in text and "does not add up: +2 swaps" in text


def test_recorded_journal_has_no_uncounted_swap(tmp_path: Path) -> None:
    code, found = said("--journal", recorded_in(tmp_path, [frame.payload for frame in recorded("polygon")]))
    rows = (json.loads(row) for row in recorded_rows("recording_2021-04-20_canonical_logs"))
    swaps = sum(row["topics"][:1] != [] and row["topics"][0] in SWAP_TOPICS for row in rows)
    assert (code, found["uncounted"], found["blocks"], found["swaps"]) == (0, 0, 175, swaps)
    assert found["published"] >= 134 and sum(found["outcomes"].values()) == swaps
    assert [(gap["first"], gap["last"]) for gap in found["gaps"]] == [(13522170, 13522174), (13522231, 13522238)]


def test_source_that_is_none_or_says_nothing_is_named(tmp_path: Path, ring_name: str) -> None:
    for arguments, found in (([], "neither"), (["--journal", tmp_path, "--ring", "market.polygon"], "both")):
        with pytest.raises(UsageError, match=f"--journal, --ring: expected one of them, found {found}"):
            run(*arguments)
    with pytest.raises(JournalError, match="segment"):
        run("--journal", tmp_path)
    with pytest.raises(RingNotFound, match=ring_name):
        run("--ring", ring_name)
    nothing = pytest.raises(UsageError, match=f"ring {ring_name}: expected a collector's blocks, found none")
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST), nothing:
        run("--ring", ring_name)
    with pytest.raises(UsageError, match=f"journal {tmp_path}: expected a collector's blocks, found none"):
        run("--journal", recorded_in(tmp_path, [b"no message"]))
    with pytest.raises(AlphaPulseError, match="layout"), Writer.create(f"{ring_name}x", layout_digest=1):
        run("--ring", f"{ring_name}x")


def test_chain_file_of_another_chain_is_refused(tmp_path: Path) -> None:
    recorded_in(tmp_path, small_chain().payloads)
    assert said("--journal", tmp_path, "--chain", "polygon")[0] == 0
    with pytest.raises(UsageError, match="--chain base: expected one of chain id 137, found 8453"):
        run("--journal", tmp_path, "--chain", "base")
