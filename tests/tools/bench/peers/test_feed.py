"""The bench of the feed's peers: every client decodes the same logs to the same amounts, which no fault passes."""

from __future__ import annotations

from tools.bench.collector.load import event_blocks
from tools.bench.peers.feed.client import FEWEST
from tools.bench.peers.feed.table import BARE, CLIENTS, OURS, compared, load_of, run


def test_feed_clients_decode_the_same_logs_to_the_same_amounts() -> None:
    decoding = tuple(client for client in CLIENTS if client != BARE)
    rows = {row.name.removeprefix("peers, feed, logs to events: "): row for row in run(0.02, clients=decoding)}
    assert rows.keys() == {"AlphaPulse", "json and eth-abi", "web3.py"}
    for row in rows.values():
        assert row.missing == ""
        assert row.value > 0 and row.ratio > 0
    for name in ("json and eth-abi", "web3.py"):
        equal = next(part for part in rows[name].note.split("; ") if part.endswith("events equal to ours"))
        assert int(equal.split()[0]) >= 100


def test_feed_client_that_decodes_another_amount_or_misses_one_is_found() -> None:
    ours = {(block, log): ("Sync", (log, 10**30)) for block in ("0xa", "0xb", "0xc", "0xd") for log in range(3)}
    assert compared(ours, dict(ours)) == (6, "")
    assert compared(ours, {}) == (0, "")
    wrong = ours | {("0xb", 1): ("Sync", (1, 10**30 + 1))}
    assert compared(ours, wrong)[1].startswith("log 1 of block 0xb: expected ('Sync', (1, 1000")
    missing = {place: event for place, event in ours.items() if place != ("0xc", 2)}
    assert compared(ours, missing)[1].endswith("found None")
    assert compared(missing, ours)[1].startswith("log 2 of block 0xc: expected None")
    assert compared(ours, {("0xe", 0): ("Sync", (0, 0))})[1] == "it decoded no block that we have too"


def test_feed_load_is_whole_blocks_and_knows_its_events() -> None:
    blocks = event_blocks()
    logs, events = load_of(blocks, FEWEST)
    assert FEWEST <= logs < FEWEST + max(map(len, blocks))
    assert 0 < events < logs
    assert CLIENTS[0] == OURS
