"""`alphapulse decode`: the very output that a user reads, over every bundled file of logs."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.producers.decode.abi_oracle import BUNDLED, LOG_FILES, ROOT, expected, rows
from tests.tools.command.forked import run_forked_on
from tools.recording.proven_pools import bundled_pools

PLACE = ("block_number", "block_hash", "transaction_hash", "transaction_index", "log_index", "removed")
EVENTS_OF_PROVEN_POOLS = (366, 16, 51, 1041, 6234)
EVENTS_OF_ALL_EMITTERS = (387, 16, 51, 1077, 6234)
LOOKALIKES = ROOT / "tests/data/lookalikes.jsonl.gz"


def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return run_forked_on(stdin, "decode", *arguments)


def decode(*arguments: str | Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Events and summary of a run that must succeed."""
    done = run(*arguments, "--summary-json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], json.loads(done.stderr)


def written(value: Any) -> Any:
    """A value as the command promises to write it."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return str(value) if abs(value) > 1 << 53 else value


def place_of(raw: dict[str, Any]) -> tuple[Any, ...]:
    """Null stays null; everything else is the number, or the text."""
    number, transaction_index, log_index = (
        None if raw[name] is None else int(raw[name], 16) for name in ("blockNumber", "transactionIndex", "logIndex")
    )
    return number, raw["blockHash"], raw["transactionHash"], transaction_index, log_index, raw["removed"]


@pytest.mark.parametrize(("name", "count"), list(zip(LOG_FILES, EVENTS_OF_PROVEN_POOLS, strict=True)))
def test_decode_command_bundled_logs_of_proven_pools_agree_with_eth_abi(name: str, count: int) -> None:
    proven = {"0x" + pool.pool.hex(): pool for pool in bundled_pools()}
    wanted = []
    for raw in rows(BUNDLED / name):
        oracle = expected(raw)
        if oracle is not None and raw["address"] in proven:
            values = {key: written(value) for key, value in oracle[2].items()}
            wanted.append({"event": oracle[1], "pool": raw["address"], "place": place_of(raw)} | values)
    events, summary = decode(BUNDLED / name)
    for event in events:
        assert (event.pop("venue") is not None) == (proven[event["pool"]].venue != 0)
        assert event.pop("protocol") in ("uniswap_v2", "uniswap_v3", "algebra")
        event["place"] = tuple(event.pop(key) for key in PLACE)
    assert events == wanted
    assert (len(events), sum(summary["events"].values()), summary["refused"]) == (count, count, {})


@pytest.mark.parametrize(("name", "count"), list(zip(LOG_FILES, EVENTS_OF_ALL_EMITTERS, strict=True)))
def test_decode_command_trusting_emitters_drops_only_lookalikes(name: str, count: int) -> None:
    events, summary = decode(BUNDLED / name, "--trust-emitters")
    well_formed = sum(expected(raw) is not None for raw in rows(BUNDLED / name))
    assert (len(events), summary["unverified_emitters"]) == (count, 0)
    assert summary["lookalikes"] == well_formed - count


@pytest.mark.parametrize("flags", [(), ("--trust-emitters",), ("--pools", BUNDLED / "ethereum/pools.jsonl.gz")])
def test_decode_command_lookalikes_yield_no_event(flags: tuple[str | Path, ...]) -> None:
    events, summary = decode(LOOKALIKES, *flags)
    assert (events, summary["lookalikes"], summary["logs"]) == ([], 68, 68)


def test_decode_command_excerpt_takes_the_missing_sync_for_no_proof() -> None:
    events, _ = decode(LOOKALIKES, "--trust-emitters", "--excerpt")
    assert Counter(event["event"] for event in events) == {"mint": 63, "swap": 2}


def test_decode_command_edge_cases_keep_every_wei() -> None:
    events, summary = decode(ROOT / "tests/data/edge_cases.jsonl.gz", "--trust-emitters", "--excerpt")
    wanted = [oracle for row in rows(ROOT / "tests/data/edge_cases.jsonl.gz") if (oracle := expected(row["log"]))]
    assert len(events) == len(wanted) == 22
    for event, (family, name, values) in zip(events, wanted, strict=True):
        assert (event["protocol"], event["event"]) == (family, name)
        assert {key: event[key] for key in values} == {key: written(value) for key, value in values.items()}
    assert summary["refused"] == {"wrong_topic_count": 3}


def test_decode_command_keys_are_those_of_the_documentation() -> None:
    common = {"event", "protocol", "pool", "venue", *PLACE}
    wanted = {
        ("uniswap_v2", "swap"): {"amount0_in", "amount1_in", "amount0_out", "amount1_out", "sender", "recipient"},
        ("uniswap_v2", "sync"): {"reserve0", "reserve1"},
        ("uniswap_v2", "mint"): {"amount0", "amount1", "sender"},
        ("uniswap_v2", "burn"): {"amount0", "amount1", "owner", "recipient"},
        ("uniswap_v2", "pair_created"): {"token0", "token1"},
        ("uniswap_v3", "swap"): {"amount0", "amount1", "sqrt_price_x96", "liquidity", "tick", "sender", "recipient"},
        ("uniswap_v3", "mint"): {"tick_lower", "tick_upper", "amount", "amount0", "amount1", "sender", "owner"},
        ("uniswap_v3", "burn"): {"tick_lower", "tick_upper", "amount", "amount0", "amount1", "owner"},
        ("uniswap_v3", "collect"): {"tick_lower", "tick_upper", "amount0", "amount1", "owner", "recipient"},
    }
    seen = {}
    for name in ("ethereum/full_blocks_17686110-17686121_logs.jsonl.gz", LOG_FILES[4]):
        seen |= {(event["protocol"], event["event"]): set(event) for event in decode(BUNDLED / name)[0]}
    assert seen == {kind: common | keys for kind, keys in wanted.items()}


def test_decode_command_v3_day_null_stays_null() -> None:
    events, _ = decode(BUNDLED / LOG_FILES[4], "--limit", "1")
    assert [(event["block_hash"], event["removed"], event["venue"]) for event in events] == [(None, None, "uniswap_v3")]


def test_decode_command_reads_plain_lines_from_stdin() -> None:
    text = gzip.decompress((BUNDLED / LOG_FILES[2]).read_bytes())
    assert run("-", stdin=text).stdout == run(BUNDLED / LOG_FILES[2]).stdout != b""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"address":"0x11","topics":[]}\n\n{"address":',
            b"logs:3: expected a log as JSON, found: Input data was truncated",
        ),
        (b"[1]", b"logs:1: expected a log as JSON, found: Expected `object`, got `array`"),
        (b'{"topics":[]}', b"logs:1: expected a log as JSON, found: Object missing required field `address`"),
        (b"\xff\xfe", b"logs:1: expected a log as JSON"),
        (b'{"a":' + b"[" * 100_000, b"logs:1: expected a log as JSON"),
        (gzip.compress(b'{"address":"0x11","topics":[]}\n' * 9, mtime=0)[:-9], b"expected gzip, found"),
        (b"\x1f\x8bnonsense", b"logs:1: expected gzip, found"),
    ],
)
def test_decode_command_damaged_file_names_its_line_and_exits_1(tmp_path: Path, content: bytes, message: bytes) -> None:
    path = tmp_path / "logs"
    path.write_bytes(content)
    done = run(path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert message in done.stderr
    assert done.stderr.startswith(b"alphapulse: error: ")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("/nonexistent",), (LOOKALIKES, "--limit", "0"), (LOOKALIKES, "--trust-emitters", "--pools", LOOKALIKES), ()],
)
def test_decode_command_wrong_usage_exits_2(arguments: tuple[str | Path, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr


def test_decode_command_refused_logs_are_counted_and_told_with_their_line(tmp_path: Path) -> None:
    proven = {"0x" + pool.pool.hex() for pool in bundled_pools()}
    sync = next(raw for raw in rows(BUNDLED / LOG_FILES[0]) if expected(raw) and raw["address"] in proven)
    path = tmp_path / "logs.jsonl"
    damaged = [sync | {"data": "0xzz" + sync["data"][4:]}, sync | {"logIndex": "1"}, sync]
    path.write_text("".join(json.dumps(raw) + "\n" for raw in damaged))
    done = run(path, "--errors")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert f"{path}:1: bad_hex: data: expected 0x and 128 hex digits, found '0xzz".encode() in done.stderr
    assert f"{path}:2: bad_hex: logIndex: expected 0x and at most 64 hex digits, found '1'".encode() in done.stderr
    assert b"2 refused (bad_hex 2)" in done.stderr


def test_decode_command_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m tools.command.main decode {BUNDLED / LOG_FILES[4]} | head -1",
        shell=True,
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert len(done.stdout.splitlines()) == 1
    assert b"Traceback" not in done.stderr
    assert b"Error" not in done.stderr
