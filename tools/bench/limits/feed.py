"""What a node's notifications cost before anything is done with them, and the collector's rows of the table.

Owns these rows.  The collector's baseline receives the same frames through the same library and parses them into the
same typed logs, and does nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice

import msgspec

from producers.node.jsonrpc import LOG_NOTICE
from tools.bench.collector.load import event_blocks, served
from tools.bench.collector.rates import LOGS_A_SECOND, collect, paced, read_log, receive_only
from tools.bench.collector.watching import watched
from tools.bench.limits.rounds import FEW_ROUNDS, QUICK_S, is_quick, middle, take_turns
from tools.bench.limits.rows import COLLECTOR, RECEIVE_TO_RING
from tools.bench.result import BenchResult
from tools.bench.timing import per_second

NOTICES = 500
US_PER_MS = 1e3
OURS, BARE, PARSED = "collector, socket to ring", "bare websocket recv", "bare recv and typed parse"
UNPACED = f"needs --seconds {QUICK_S}: a second of logs at that rate has to pass"


def run(seconds: float) -> Iterator[BenchResult]:
    """The collector's rows, then the limits beside the first of them."""
    logs = max(int(seconds * LOGS_A_SECOND) // FEW_ROUNDS, NOTICES)
    measures = {
        OURS: lambda _: received(logs, collect),
        BARE: lambda _: received(logs, receive_only),
        PARSED: lambda _: received(logs, partial(receive_only, read=read_log)),
    }
    found = take_turns(measures, seconds, FEW_ROUNDS)
    at = {name: middle(readings) for name, readings in found.items()}
    note = f"{at[OURS] / at[BARE]:.2f} of {BARE}; pool events only"
    yield COLLECTOR.reading(at[OURS], PARSED, at[PARSED], note, found[OURS])
    if is_quick(seconds):
        yield RECEIVE_TO_RING.missing(UNPACED)
    else:
        delay, *_ = paced(seconds)
        beneath = delay.baseline_value / US_PER_MS
        yield RECEIVE_TO_RING.reading(delay.value / US_PER_MS, delay.baseline_name, beneath, delay.note)
    yield beside("limit, websocket recv", at[BARE], at[OURS])
    texts = notices()
    parsers: dict[str, Callable[[bytes], object]] = {
        "json.loads": json.loads,
        "msgspec": msgspec.json.decode,
        "msgspec, typed": LOG_NOTICE.decode,
    }
    rates = take_turns({name: partial(parse_rate, parse, texts) for name, parse in parsers.items()}, seconds)
    for name, readings in rates.items():
        yield beside(f"limit, JSON of a log notification: {name}", middle(readings), at[OURS])


def beside(name: str, value: float, ours: float) -> BenchResult:
    """A rate that the collector cannot have."""
    return BenchResult(name, value, "logs/s", OURS, ours, value / ours)


def received(logs: int, work: Callable[..., object]) -> float:
    """Logs a second of a loop that runs `work(url, stopwatch)` at a node that pushes so many, as fast as it can."""
    with served(event_blocks, logs) as url:
        (rate, _), _ = watched(lambda stopwatch: work(url, stopwatch))
    return float(rate)


def notices() -> list[bytes]:
    """The text of notifications, as a node sends them."""
    rows = islice(chain.from_iterable(event_blocks()), NOTICES)
    return [
        msgspec.json.encode(
            {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": row}}
        )
        for row in rows
    ]


def parse_rate(parse: Callable[[bytes], object], texts: list[bytes], seconds: float) -> float:
    """Notifications a second."""

    def all_of_them() -> None:
        for text in texts:
            parse(text)

    return per_second(all_of_them, len(texts), seconds)
