"""The demo's picture on real rings: it fits any size, whatever the chain's contracts call their tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ringbuf import Writer
from tests.tools.test_dump_text import LEGS, POOL, REPORT, SIGNAL, A, B, H
from tlv.codes import Domain, Flag, GapScope, OrderState, Reason, Source, WithdrawalReason
from tlv.layout import (
    LAYOUT_DIGEST,
    BlockEnd,
    Economics,
    EventOrigin,
    Gap,
    OrderStatus,
    PoolState,
    PoolSwap,
    Reorg,
    RiskDecision,
    SignalIdentity,
    SignalWithdrawn,
)
from tlv.message import build
from tlv.record import Record
from tools.command.terminal import LEAST_NAME
from tools.demo.home import Home
from tools.demo.view import Picture
from tools.demo.watch import PipelineView, ShownSignal, figure, price, ratio
from tools.up.processes import SupervisedProcess

BIG = (1 << 256) - 1
NASTY = "\x1b[2J[red]\u202eX"


def process(name: str, state: str) -> SupervisedProcess:
    return SupervisedProcess(name, state, 7, 9, 0 if state == "running" else 2, "", [])


@pytest.fixture
def picture(new_ring_name: Callable[[], str]) -> Iterator[Picture]:
    """Of two rings that hold a swap of a token with a nasty symbol, its REMOVED copy, a reorg, a gap and a signal."""
    names = new_ring_name(), new_ring_name(), new_ring_name()
    with (
        Writer.create(names[0], layout_digest=LAYOUT_DIGEST) as market,
        Writer.create(names[1], layout_digest=LAYOUT_DIGEST) as signals,
        Writer.create(names[2], layout_digest=LAYOUT_DIGEST) as _,
    ):

        def publish(*records: Any, flags: int = 0) -> None:
            market.publish(build(Domain(1), Source.POLYGON_COLLECTOR, records, flags=flags))

        state = PoolState(*POOL, 0, 0, 0, 0, 9, 3000, 0, 0, A, NASTY, "WMATICWMATICWMATIC")
        swap = PoolSwap(*POOL, BIG, 0, 0, 1_234_567_890, 0, 0, 0, A, B)
        publish(state, flags=Flag.SNAPSHOT)
        for flags in (0, Flag.REMOVED):
            publish(swap, EventOrigin(13522194, 0, 0, 0, 5, bytes(32), bytes(32)), flags=flags)
        for record in (
            Reorg(6, 8, 9, 2, 1, bytes(32), bytes(32), bytes(32)),
            Gap(7, 9, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK),
        ):
            market.publish(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [record]))
        worth = Economics(10**18, 1, -1, 1, 1, 1, 1, A, bytes(20), 18)
        signals.publish(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, [SIGNAL, worth, *LEGS]))
        seen = PipelineView.attach(*names)
        seen.glance()
        found = Picture(Home("demo", Path("/nowhere")), seen, "5", "http://127.0.0.1:9464/")
        found.processes = [process("node", "running"), process("strategy", "backing off")]
        yield found
        seen.close()


@pytest.mark.parametrize("height", [1, 5, 12, 20, 24, 50])
@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_picture_has_as_many_lines_as_the_terminal_and_none_that_it_would_obey(
    picture: Picture, width: int, height: int
) -> None:
    lines = picture.lines(width, height)
    assert len(lines) >= height
    for line in lines[:height]:
        assert line.plain.isprintable()
    if width >= 60:
        assert max(line.cell_len for line in lines[1:]) <= max(width, 66), "sentences are cut, tables fit"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (60, 20)])
def test_picture_says_what_happened_in_words(picture: Picture, width: int, height: int) -> None:
    text = "\n".join(line.plain for line in picture.lines(width, height))
    facts = [
        "dashboard  http://127.0.0.1:9464/",
        "reorg 2 blocks above 6 left the chain, 1 event taken back",
        "gap   blocks 7 to 9 missing (3): the node does not have",
        "quickswap_v2 -> dfyn",
        "-1.000e-18",
        "1.157e+59",
        "1,234.567",
        "taken back",
        "reorgs 1",
        "signals 1",
    ]
    assert [fact for fact in facts if fact not in text] == []
    (unwell,) = (line for line in picture.lines(width, height) if "strategy" in line.plain)
    assert "strategy backing off (restarted 2x)  node running" in unwell.plain
    symbols = [word for word in text.split() if word.startswith("WMATIC")]
    assert symbols and all(len(symbol) >= LEAST_NAME for symbol in symbols)


def test_news_are_told_once_in_their_order(picture: Picture) -> None:
    first, second, third = picture.watch.take_news()
    assert (str(first)[:5], str(second)[:3]) == ("reorg", "gap")
    assert isinstance(third, ShownSignal) and third.price.startswith("0.4 -> 0.6")
    assert picture.watch.take_news() == []


def test_signal_that_holds_no_more_says_so(new_ring_name: Callable[[], str]) -> None:
    names = new_ring_name(), new_ring_name(), new_ring_name()
    with (
        Writer.create(names[0], layout_digest=LAYOUT_DIGEST) as market,
        Writer.create(names[1], layout_digest=LAYOUT_DIGEST) as signals,
        Writer.create(names[2], layout_digest=LAYOUT_DIGEST) as executions,
    ):
        seen = PipelineView.attach(*names)

        def signal(number: int, *records: Record) -> None:
            ids = SignalIdentity(number, 1, 0, bytes(16), "own", 1)
            signals.publish(build(Domain.SIGNAL, Source.USER_STRATEGY, [ids, *records]))

        def states() -> list[str]:
            seen.glance()
            return [one.over for one in seen.opportunities]

        worth = Economics(10**18, 1, 1, 1, 1, 1, 1, A, bytes(20), 18)
        for number, cycle in enumerate((1, 2, 2, 3)):
            signal(number, msgspec.structs.replace(SIGNAL, opportunity=cycle), worth, *LEGS)
        assert states() == ["", "replaced", "", ""]
        signal(9, SignalWithdrawn(0, 1, 7, bytes(32), WithdrawalReason.GONE))
        assert states() == ["withdrawn", "replaced", "", ""]
        assert "gone" in str(seen.take_news()[-1])
        market.publish(
            build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [BlockEnd(SIGNAL.expires_block, 0, 0, 0, 0, H, 1)])
        )
        assert states() == ["withdrawn", "replaced", "expired", "expired"]
        assert (seen.signal_count, seen.withdrawn_count) == (4, 1)

        def execute(*records: Record) -> None:
            executions.publish(build(Domain.EXECUTION, Source.PAPER_EXECUTOR, records))

        execute(RiskDecision(9, 255, bytes(16), 7, 0, 0, 1, 0))
        execute(REPORT)
        execute(msgspec.structs.replace(REPORT, order_sequence=10, state=OrderState.FAILED, net=-(10**18)))
        seen.glance()
        assert (seen.order_count, seen.filled_count, seen.net) == (1, 1, "-3.000e-18 0xaaaa..aaaa")
        assert [str(one)[:4] for one in seen.take_news()] == ["fill", "fail"]
        execute(OrderStatus(9, 255, REPORT.order_ring, 7, H, OrderState.UNDONE, 0))
        seen.glance()
        assert (seen.filled_count, seen.net) == (0, "-1 0xaaaa..aaaa")
        three = [*LEGS, LEGS[1]]
        assert (price(SIGNAL, LEGS), price(SIGNAL, three)) == ("0.4 -> 0.6", "+50 %")
        seen.close()


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (0, 18, "0"),
        (1, 18, "1.000e-18"),
        (1_234_567_891, 6, "1,234.567"),
        (12_345_678_000_000, 6, "12,345,678"),
        (10**18, 18, "1"),
        (999_999_999, 9, "0.9999999"),
        (BIG, 0, "1.157e+77"),
        (100, 0, "100"),
    ],
)
def test_figure_is_cut_off_never_rounded_up(units: int, decimals: int, text: str) -> None:
    assert figure(units, decimals) == text


def test_ratio_of_nothing_is_none() -> None:
    assert (ratio(1, 0, 0), ratio(1, 3, 0), ratio(1, 3, 12), ratio(2, 1, 20)) == (
        "?",
        "0.33333",
        "333,330,000,000",
        "2.000e+20",
    )
