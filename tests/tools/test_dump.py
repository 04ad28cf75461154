"""`alphapulse dump` on a ring, a relay and a journal: the same messages, exact numbers, nothing hidden."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consumers.journal import Fsync
from consumers.recorder import Recorder
from tests.consumers.journal_frames import open_writer
from tests.consumers.relay_rig import make_ring, market_message, publish, serving
from tests.tools.command.forked import run_forked
from tlv.codes import Domain, Flag, Protocol, Source, Venue
from tlv.layout import EventOrigin, PoolState, PoolSwap, PoolSync, PoolTicks, TickLiquidity
from tlv.message import build, parse
from tlv.text import message_to_dict
from tools.dump_text import Describer, scale

ROOT = Path(__file__).resolve().parents[2]


def dump(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return run_forked("dump", *arguments)


def dump_anew(*arguments: str, compiled: bool) -> subprocess.CompletedProcess[str]:
    """Run the command in an interpreter of its own."""
    command = [sys.executable, "-m", "tools.command.main", "dump", *arguments]
    environment = os.environ | ({} if compiled else {"NUMBA_DISABLE_JIT": "1"})
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("target", ["ring", "relay", "journal"])
def test_dump_json_holds_every_message_with_exact_numbers(ring_name: str, tmp_path: Path, target: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 60)
        if target == "ring":
            done = dump(ring_name, "--json")
        elif target == "relay":
            with serving(ring_name) as rig:
                done = dump(str(rig.path), "--json")
        else:
            with Recorder(ring_name, tmp_path / "journal", report=print, fsync=Fsync.NEVER) as recorder:
                recorder.run(lambda: recorder.next_sequence == 61, until_closed=False)
            done = dump(str(tmp_path / "journal"), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = [message_to_dict(parse(market_message(sequence))) for sequence in range(1, 61)]
    assert lines == [{"ring": ring_name, "sequence": i, **line} for i, line in enumerate(wanted, 1)]
    assert lines[1]["records"][0]["reserve0"] == str((1 << 256) - 2)


def test_dump_text_types_limit_and_gap(ring_name: str) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        publish(writer, 50)
        done = dump(ring_name, "--types", "PoolSwap", "--limit", "3")
        lines = done.stdout.splitlines()
        assert done.returncode == 0
        assert len(lines) == 3
        assert all("PoolSwap" in line and "->" in line for line in lines)
        assert lines[0].startswith("1  ") and "block 0 log 1" in lines[0]


def test_dump_hex_names_every_field(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 2)
        done = dump(ring_name, "--hex", "--limit", "1")
    assert "amount0_in" in done.stdout and "checksum" in done.stdout


def test_dump_frame_that_is_no_message_is_said_and_passed(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        writer.publish(b"not a message, and long enough to be read as a header")
        publish(writer, 1)
        done = dump(ring_name, "--json")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert "expected magic" in first["error"]
    assert second["sequence"] == 2
    assert done.returncode == 0


def test_dump_journal_gap_is_said(tmp_path: Path) -> None:
    from tlv.codes import Reason

    with open_writer(tmp_path) as writer:
        writer.append_gap(1, 7, Reason.LAPPED)
    for compiled in (True, False):
        done = dump_anew(str(tmp_path), "--json", compiled=compiled)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["gap"] == {"first": 1, "last": 7}
    assert "1 to 7  lost (7 messages)" in dump(str(tmp_path)).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["no.such.ring"], 1, "no.such.ring"),
        (["/no/such/path"], 2, "expected a ring's name, a relay's socket or a journal's directory"),
        (["market.x", "--types", "PoolSwap,Nonsense"], 2, "type 'Nonsense'"),
        (["market.x", "--limit", "0"], 2, "--limit"),
    ],
)
def test_dump_mistake_is_one_clear_line(arguments: list[str], code: int, text: str) -> None:
    done = dump(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [
        (0, 18, "0"),
        (1, 18, "0.000000000000000001"),
        (10**18, 18, "1"),
        (1_500_000, 6, "1.5"),
        (-1_500_000, 6, "-1.5"),
        ((1 << 256) - 1, 18, f"{str((1 << 256) - 1)[:-18]}.{str((1 << 256) - 1)[-18:]}"),
        (7, 0, "7"),
        (7, 255, "7"),
    ],
)
def test_scale_is_exact(amount: int, decimals: int, text: str) -> None:
    assert scale(amount, decimals) == text


def test_describer_learns_symbols_and_scales_amounts() -> None:
    describer = Describer()
    tokens = (b"p" * 20, b"\x01" * 20, b"\x02" * 20, Venue.QUICKSWAP_V2, 18, 6, 2)
    state = PoolState(*tokens, 1, 1, 0, 0, 9, 3000, 0, 0, bytes(20), "WMATIC", "USDC")
    swap = PoolSwap(*tokens, 25 * 10**17, 0, 0, 1_250_000, 0, 0, 0, bytes(20), bytes(20))
    sync = PoolSync(*tokens, 10**18, 10**6)
    origin = EventOrigin(77, 0, 0, 0, 5, bytes(32), bytes(32))

    def line(*records: object, flags: int = 0) -> str:
        data = build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, flags=flags)  # type: ignore[arg-type]
        return describer.line(3, parse(data))

    assert "2.5 0x01010101 -> 1.25 0x02020202" in line(swap, origin)
    assert "fee_pips=3000" in line(state, flags=Flag.SNAPSHOT)
    assert "quickswap_v2" in line(swap, origin)
    assert "2.5 WMATIC -> 1.25 USDC  block 77 log 5" in line(swap, origin)
    assert "reserve0=1 WMATIC reserve1=1 USDC" in line(sync, origin)
    assert line(swap, origin, flags=Flag.REMOVED).endswith("[REMOVED]")


def test_dump_of_a_tick_map_says_its_range_in_text_and_every_tick_in_json(ring_name: str) -> None:
    pool = (b"p" * 20, b"\x01" * 20, b"\x02" * 20, Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
    part = PoolTicks(*pool, 77, b"h" * 32, -887272, 887272, 10, 2)
    ticks = [TickLiquidity((1 << 128) - 1, -(1 << 127), -20), TickLiquidity(1 << 70, 1 << 70, 30)]
    with make_ring(ring_name) as writer:
        writer.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [part, *ticks], sequence=1, flags=2))
        text, as_json = dump(ring_name).stdout, dump(ring_name, "--types", "TickLiquidity", "--json").stdout
    assert "block_number=77" in text and "first_tick=-887272 last_tick=887272 tick_spacing=10 count=2" in text
    assert "TickLiquidity" not in text and text.endswith("[SNAPSHOT]\n")
    head, *rows = json.loads(as_json)["records"]
    assert (head["type"], head["count"]) == ("PoolTicks", 2)
    assert rows == [
        {
            "type": "TickLiquidity",
            "liquidity_gross": str((1 << 128) - 1),
            "liquidity_net": str(-(1 << 127)),
            "tick": -20,
        },
        {"type": "TickLiquidity", "liquidity_gross": str(2**70), "liquidity_net": str(2**70), "tick": 30},
    ]
