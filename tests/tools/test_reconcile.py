"""`alphapulse reconcile` on the recorded market, traded on by seeded orders: what is right is confirmed, and what is
changed afterwards is found, to the wei.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.legs import refusal, reserves_of
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.execution.ledger import PPM
from consumers.execution.orders import Order, read_order
from consumers.journal import Fsync, JournalWriter
from consumers.strategy import Driver
from ringbuf.layout import TIME_ROW
from tests.consumers.execution.paper_market import COIN, E18, SIGNALS, TOKEN, A, B, PaperMarket, feed, leg
from tests.consumers.journal_frames import append, layout, open_writer
from tests.consumers.recorded_market import canonical_frames
from tlv.codes import Domain, OrderReason, OrderState, Source
from tlv.layout import BlockEnd, ExecutionReport, Fill, OrderLeg, OrderRequest
from tlv.message import build
from tlv.record import Record
from tools.backtest.command import command as backtest_command
from tools.dump import DumpedMessage
from tools.evm.seeded_pools import SeededPools
from tools.prove.anomalies.recorded import RING, recorded
from tools.reconcile import TOLD, PaperExecutions, command
from tools.reconcile_judge import AskedOrder, FillJudge, RightlyFailed

ORDERS_RING = bytes(15) + b"\1"
ORDERS_PER_BLOCK = 3
WITHOUT_LIMIT = 10**40
Change = Callable[[Record], Record]


class Traded(NamedTuple):
    """The messages of an executor, and the orders that it got."""

    said: tuple[tuple[Record, ...], ...]
    orders: tuple[bytes, ...]


@cache
def traded(share_percent: int) -> Traded:
    """What a paper executor says of seeded orders on the recorded market.  One of ten accepts nothing."""
    rng = random.Random(1)
    config = ExecutionConfig(
        share_percent=share_percent,
        max_orders_per_block=1000,
        max_exposure_wei=WITHOUT_LIMIT,
        max_position_wei=WITHOUT_LIMIT,
        max_loss_wei=WITHOUT_LIMIT,
        breaker_failures=WITHOUT_LIMIT,
        breaker_loss_wei=WITHOUT_LIMIT,
    )
    executor = PaperExecutor(config)
    driver = Driver(executor, RING)
    said: list[tuple[Record, ...]] = []
    orders: list[bytes] = []
    for sequence, frame in enumerate(recorded("polygon"), 1):
        said += [draft.records for draft in driver.deliver(sequence, frame.time_ns, frame.payload)]
        end = frame.record
        pools = [pool for pool in executor.chain.book if refusal(pool) is None]
        for _ in range(ORDERS_PER_BLOCK if isinstance(end, BlockEnd) and pools else 0):
            assert isinstance(end, BlockEnd)
            first = rng.choice(pools)
            token = rng.choice((first.token0, first.token1))
            amount = max(int(reserves_of(first)[token == first.token1] * 10 ** rng.uniform(-8, -1.5)), 1)
            legs: list[OrderLeg] = []
            pool = first
            for number in range(1, rng.randint(1, 3) + 1):
                other = pool.token1 if token == pool.token0 else pool.token0
                legs.append(OrderLeg(pool=pool.address, token_in=token, token_out=other, leg=number))
                token = other
                used = {leg.pool for leg in legs}
                onward = [one for one in pools if token in (one.token0, one.token1) and one.address not in used]
                if not onward:
                    break
                pool = rng.choice(onward)
            request = OrderRequest(
                order_id=len(orders) + 1,
                trigger_sequence=sequence,
                trigger_receive_time_ns=0,
                block_number=end.number,
                expires_block=end.number + 5,
                amount_in=amount,
                min_amount_out=WITHOUT_LIMIT if len(orders) % 10 == 0 else 0,
                trigger_ring=RING,
                strategy="seeded",
                strategy_version=1,
                token_in=legs[0].token_in,
                token_out=token,
                legs=len(legs),
            )
            orders.append(build(Domain.EXECUTION, Source.USER_STRATEGY, (request, *legs), sequence=len(orders) + 1))
            executor.take_order(orders[-1], ORDERS_RING, len(orders), 0)
            said += [draft.records for draft in executor.drafts]
    return Traded(tuple(said), tuple(orders))


def write(directory: Path, name: str, uuid: bytes, frames: Sequence[bytes], times_ns: Sequence[int]) -> Path:
    """A journal of these frames."""
    buffer, table, count = layout(list(frames), 1)
    table[TIME_ROW] = np.array(times_ns)
    with JournalWriter(directory, ring_name=name, ring_uuid=uuid, fsync=Fsync.NEVER) as journal:
        journal.append(buffer, table, count)
    return directory


def write_market(directory: Path, keep: slice = slice(None)) -> Path:
    """A journal of the recording, or of a part of its frames."""
    frames = recorded("polygon")[keep]
    return write(
        directory, "market.test", RING, [frame.payload for frame in frames], [frame.time_ns for frame in frames]
    )


def write_orders(directory: Path, share_percent: int = 100) -> Path:
    """A journal of the orders."""
    found = traded(share_percent).orders
    return write(directory, "signal.seeded", ORDERS_RING, found, range(1, len(found) + 1))


def payloads(share_percent: int, change: Change | None = None) -> list[bytes]:
    """The executor's messages, with `change` applied to their records."""
    return [
        build(Domain.EXECUTION, Source.PAPER_EXECUTOR, [change(record) if change else record for record in records])
        for records in traded(share_percent).said
    ]


def write_executions(directory: Path, share_percent: int = 100, change: Change | None = None) -> Path:
    """A journal of them."""
    found = payloads(share_percent, change)
    return write(directory, "execution.paper", bytes(15) + b"\7", found, range(1, len(found) + 1))


def run(*arguments: object) -> tuple[Result, list[dict[str, Any]]]:
    """Exit code and lines of the command."""
    ended = CliRunner().invoke(command, [*map(str, arguments), "--json"], standalone_mode=False)
    return ended, [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.parametrize("share_percent", [100, 40])
def test_fills_and_profit_of_an_executor_are_confirmed(tmp_path: Path, share_percent: int) -> None:
    market = write_market(tmp_path / "market")
    paper, orders = (
        write_executions(tmp_path / "executions", share_percent),
        write_orders(tmp_path / "o", share_percent),
    )
    settings = ("--signals-journal", orders, "--execute-set", f"share_percent={share_percent}")
    ended, (*tables, said) = run(paper, "--market", market, *settings)
    assert (ended.exception, ended.return_value) == (None, 0), ended.output
    assert (said["confirmed"], said["unexplained_wei"], said["wrong"], said["not_executed"]) == (True, "0", 0, 0)
    assert said["executed"] == said["attempts"] == said["filled"] + said["failed"]
    assert said["filled"] > 100
    assert said["failed_rightly"] == said["failed"] == sum(table["failed"] for table in tables) > 10
    for table in tables:
        some_paid = table["refused"] < table["failed"]
        assert (int(table["given"]) < int(table["accepted"])) is some_paid
        assert int(table["gas_cost"]) > 0
    assert said["legs"] > said["executed"]
    assert said["pnl"] == said["pnl_of_contracts"]
    assert int(said["pnl"]["net"]) != 0


def first_fill() -> Fill:
    """The first fill of the executions."""
    return next(record for records in traded(100).said for record in records if isinstance(record, Fill))


def of_first(record: Record, kind: type[Record]) -> bool:
    """Whether a record of this kind is about the order of the first fill."""
    return isinstance(record, kind) and getattr(record, "order_sequence", None) == first_fill().order_sequence


def test_one_wei_too_much_is_found_and_the_profit_is_not_confirmed(tmp_path: Path) -> None:
    fill = first_fill()

    def change(record: Record) -> Record:
        if of_first(record, Fill):
            assert isinstance(record, Fill)
            return replace(record, amount_out=record.amount_out + 1) if record.leg == fill.leg else record
        return record

    market = write_market(tmp_path / "market")
    ended, (*told, said) = run(write_executions(tmp_path / "executions", change=change), "--market", market)
    assert ended.return_value == 1
    assert (said["confirmed"], said["unexplained_wei"]) == (False, "1")
    assert any(
        line["wrong"].startswith(f"leg 1: {fill.amount_in} in and {fill.amount_out + 1} out on paper, the contract")
        and line["wrong"].endswith(f"pays {fill.amount_out}")
        for line in told
    )


def test_failed_attempt_without_its_order_confirms_nothing(tmp_path: Path) -> None:
    market = write_market(tmp_path / "market")
    ended, (*told, said) = run(write_executions(tmp_path / "executions"), "--market", market)
    assert (ended.return_value, said["confirmed"], said["failed_rightly"]) == (1, False, 0)
    assert said["not_executed"] == said["failed"] > 10
    assert all("no journal of --signals-journal has the order" in line["not_executed"] for line in told)


def test_attempt_that_the_contracts_pay_is_none_that_failed(tmp_path: Path) -> None:
    """The last fill, of an order that accepts whatever comes, is told as a failure: money that is hidden."""
    said = list(traded(100).said)
    at = max(at for at, records in enumerate(said) if any(isinstance(record, Fill) for record in records))
    (report,) = (record for record in said[at] if isinstance(record, ExecutionReport))
    lost = {"net": -report.gas_cost, "expected_net": -report.gas_cost * report.inclusion_ppm // PPM}
    nothing = {"amount_in": 0, "amount_out": 0, "gross": 0, **lost}
    said[at] = (replace(report, **nothing, state=OrderState.FAILED, reason=OrderReason.TOO_LITTLE_OUT),)
    found = [build(Domain.EXECUTION, Source.PAPER_EXECUTOR, records) for records in said]
    paper = write(tmp_path / "paper", "execution.paper", bytes(15) + b"\7", found, range(1, len(found) + 1))
    market = write_market(tmp_path / "market")
    ended, (*told, last) = run(paper, "--market", market, "--signals-journal", write_orders(tmp_path / "orders"))
    assert (ended.return_value, last["confirmed"], last["wrong"]) == (1, False, 1)
    (wrong,) = [line for line in told if "wrong" in line]
    assert wrong["order"]["sequence"] == report.order_sequence
    assert wrong["wrong"] == f"it failed on paper, the contracts pay {report.amount_out}, and 0 are accepted"


@pytest.mark.parametrize("min_gross_percent", [90, 0])
def test_signal_failed_by_what_the_executor_was_set_to_accept(min_gross_percent: int) -> None:
    """It promised 100 coins and would have earned 80: too little for an executor that wants 90 percent of it."""
    made = PaperMarket()
    made.begin()
    made.pool(A, 1000 * E18, 1000 * E18, fee=3000)
    made.pool(B, 2000 * E18, 1000 * E18, fee=3000)
    made.end()
    amount = 100 * E18
    paid = Hop(1000 * E18, 2000 * E18, 3000).out(Hop(1000 * E18, 1000 * E18, 3000).out(amount))
    promised = amount + (paid - amount) * 100 // 80
    made.signal([A, B], amount, promised)
    made.empty_blocks(2)
    published = feed(PaperExecutor(ExecutionConfig(min_gross_percent=90)), made.inputs)
    read = PaperExecutions.read([DumpedMessage("paper", number, data) for number, data in enumerate(published)])
    (order,) = (
        read_order(one.payload, SIGNALS, one.sequence, 0, min_gross_percent) for one in made.inputs if one.is_order
    )
    assert isinstance(order, Order)
    judge = FillJudge(read.attempts, SeededPools(), {order.key: AskedOrder(order, {})})
    driver = Driver(judge, RING)
    for one in made.inputs:
        if not one.is_order:
            driver.deliver(one.sequence, one.time_ns, one.payload)
    (judged,) = judge.judgements
    if min_gross_percent:
        assert judged.failed == RightlyFailed(2, amount + (promised - amount) * 90 // 100, paid, "")
    else:
        assert judged.wrong == (f"it failed on paper, the contracts pay {paid}, and {amount} are accepted",)


def change_report(**fields: int) -> Change:
    def change(record: Record) -> Record:
        return replace(record, **fields) if of_first(record, ExecutionReport) else record

    return change


@pytest.mark.parametrize("name", ["amount_out", "gross", "net", "gas_cost", "expected_net"])
def test_report_that_does_not_follow_from_its_fills_is_told_without_a_market_too(tmp_path: Path, name: str) -> None:
    ended, (*told, said) = run(write_executions(tmp_path / "executions", change=change_report(**{name: 7})))
    assert ended.return_value == 1
    assert any(line["wrong"].startswith(f"{name}: expected") for line in told)
    assert (said["confirmed"], said["pnl_of_contracts"]) == (False, None)


def test_without_a_market_the_sums_are_checked_and_nothing_is_confirmed(tmp_path: Path) -> None:
    ended, (said,) = run(write_executions(tmp_path / "executions"))
    assert (ended.return_value, said["wrong"], said["confirmed"]) == (0, 0, False)
    assert said["not_executed"] == said["attempts"]


def test_place_that_the_block_does_not_have_is_no_place(tmp_path: Path) -> None:
    def change(record: Record) -> Record:
        return replace(record, swaps_before=4_000_000_000) if of_first(record, Fill) else record

    market = write_market(tmp_path / "market")
    ended, (*told, said) = run(write_executions(tmp_path / "executions", change=change), "--market", market)
    assert (ended.return_value, said["confirmed"], said["wrong"]) == (1, False, 0)
    assert any("stands behind 4000000000 swaps" in line.get("not_executed", "") for line in told)


def test_market_that_ends_before_the_fills_confirms_nothing(tmp_path: Path) -> None:
    market, orders = write_market(tmp_path / "market", slice(0, 400)), write_orders(tmp_path / "orders")
    paper = write_executions(tmp_path / "executions")
    ended, (*told, said) = run(paper, "--market", market, "--signals-journal", orders)
    assert (ended.return_value, said["confirmed"]) == (1, False)
    assert 0 < said["not_executed"] < said["filled"]
    reasons = [line["not_executed"] for line in told if "not_executed" in line]
    assert len(reasons) == min(TOLD, said["not_executed"])
    assert all("does not end in the market's frames" in reason for reason in reasons)


def test_state_that_is_not_known_after_a_loss_is_not_guessed() -> None:
    """Frames are lost in the middle: until its next event no pool's state is known."""
    read = PaperExecutions.read([DumpedMessage("paper", number, data) for number, data in enumerate(payloads(100))])
    judge = FillJudge(read.attempts, SeededPools())
    driver = Driver(judge, RING)
    for sequence, frame in enumerate(recorded("polygon"), 1):
        if sequence == 760:
            driver.lose(sequence, sequence)
        driver.deliver(sequence, frame.time_ns, frame.payload)
    unknown = [one for one in judge.judgements if one.unjudged]
    assert any(one.unjudged.endswith("is not known") for one in unknown)
    assert any(one.unjudged.endswith("are missing") for one in unknown)
    assert len(judge.judgements) > 2 * len(unknown)
    assert judge.rest() == []
    assert not any(one.wrong for one in judge.judgements)


@pytest.mark.parametrize("share_percent", [100, 0])
def test_fill_of_a_block_that_left_the_chain_moves_nothing(share_percent: int) -> None:
    """The pool is as it was when its order is filled again, wherever in the block the first fill stood."""
    made = PaperMarket()
    made.begin()
    made.pool(A, 1000 * E18, 1000 * E18)
    made.end()
    for _ in range(2):
        made.order([leg(A, COIN, TOKEN)], E18)
        made.begin()
        made.swap(A, 1100 * E18, 910 * E18)
        made.end()
    made.reorg(2)
    made.order([leg(A, COIN, TOKEN)], E18)
    made.empty_blocks(1)
    published = feed(PaperExecutor(ExecutionConfig(share_percent=share_percent)), made.inputs)
    read = PaperExecutions.read([DumpedMessage("paper", number, data) for number, data in enumerate(published)])
    judge = FillJudge(read.attempts, SeededPools())
    driver = Driver(judge, RING)
    for one in made.inputs:
        if not one.is_order:
            driver.deliver(one.sequence, one.time_ns, one.payload)
    first, second, third = judge.judgements
    assert (first.wrong, second.wrong, third.wrong, judge.rest()) == ((), (), (), [])
    assert third.paid > second.paid
    assert (first.paid == third.paid) is (share_percent == 0)
    assert len(read.undone) == 2


def test_journal_without_executions_is_refused(tmp_path: Path) -> None:
    ended, _ = run(write_market(tmp_path / "market"))
    assert ended.exception is not None
    assert "expected messages of a paper executor, found none" in str(ended.exception)


def test_text_says_what_json_says(tmp_path: Path) -> None:
    market, paper = write_market(tmp_path / "market"), write_executions(tmp_path / "executions")
    arguments = [paper, "--market", market, "--signals-journal", write_orders(tmp_path / "orders")]
    ended = CliRunner().invoke(command, [str(one) for one in arguments], standalone_mode=False)
    assert ended.return_value == 0
    assert " failed attempts, " in ended.stdout
    assert "  what the contracts would have paid them " in ended.stdout
    assert "unexplained remainder 0 wei. Net profit of " in ended.stdout
    assert ended.stdout.rstrip().endswith(" wei confirmed")


def test_profit_that_a_backtest_prints_is_confirmed(tmp_path: Path) -> None:
    """The profit is the same number in both."""
    market, filled, orders = tmp_path / "market", tmp_path / "filled", tmp_path / "orders"
    with open_writer(market, ring_uuid=RING) as journal:
        append(journal, [payload for _, _, payload in canonical_frames()], 1)
    share = ("--execute-set", "share_percent=0")
    arguments = [str(market), "--executions", str(filled), "--orders", str(orders), "--set", "gross=true", *share]
    ended = CliRunner().invoke(backtest_command, [*arguments, "--json"], standalone_mode=False)
    assert ended.exception is None, ended.output
    tested = json.loads(ended.stdout.splitlines()[0])
    signals = ("--signals-journal", orders / "flash_arbitrage")
    judged, (*_, said) = run(filled, "--market", market, *signals, *share)
    assert (judged.return_value, said["confirmed"], said["not_executed"]) == (0, True, 0)
    assert said["attempts"] == said["filled"] + tested["outcomes"].get("failed", 0) > 0
    assert {name: said["pnl"][name] for name in ("gross", "gas", "net")} == {
        name: tested["pnl"][name] for name in ("gross", "gas", "net")
    }


@pytest.mark.parametrize("option", ["--executions", "--orders"])
def test_journals_of_a_sweep_are_refused(tmp_path: Path, option: str) -> None:
    arguments = [str(tmp_path), option, str(tmp_path / "filled"), "--sweep", "min_net_wei=0,1"]
    ended = CliRunner().invoke(backtest_command, arguments, standalone_mode=False)
    assert f"{option}: expected one run, found 2" in str(ended.exception)
    assert not (tmp_path / "filled").exists()
