"""A run: the strategy publishes what it publishes live on the same frames, and the sums are the executor's own."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.backtest.mapped_journal import map_journal
from consumers.backtest.run import RunResult, ring_of, run_backtest
from consumers.examples.native_mover import MoverParams, NativeMover
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.journal import JournalReader
from consumers.loading import AnyStrategy
from consumers.order_hash import OrderHash
from consumers.strategy import Draft, Driver, Strategy, drive
from ringbuf import Loss
from tests.consumers.backtest.small_market import COIN, POOLS, UNIT, USDC, SmallMarket, small_market
from tests.consumers.journal_frames import UUID
from tlv.codes import Domain, GapScope, OrderState, Reason
from tlv.layout import BlockEnd, ExecutionReport, Fill, Gap, OrderLeg
from tlv.message import build

CONFIG = ExecutionConfig(inclusion_percent=50, breaker_failures=1_000_000)


def backtest(
    directory: Path, strategies: Sequence[AnyStrategy], config: ExecutionConfig = CONFIG, later: Sequence[int] = ()
) -> tuple[RunResult, PaperExecutor]:
    """A run in this process, and its executor."""
    executor = PaperExecutor(config)
    others = {blocks: PaperExecutor(ExecutionConfig(delay_blocks=blocks)) for blocks in later}
    journal = map_journal(directory)
    assert journal is not None
    with journal:
        advanced: list[int] = []
        result = run_backtest(journal, strategies, executor, others, advanced.append)
        assert sum(advanced) == 2 * result.frames == 2 * journal.facts.frames
    return result, executor


def hash_of(drafts: Sequence[Draft]) -> str:
    """The order hash of what a strategy said."""
    found = OrderHash()
    for draft in drafts:
        found.add(build(draft.domain, draft.source, draft.records))
    return found.hexdigest()


def frames_in(directory: Path) -> list[tuple[int, int, bytes]]:
    """The frames as the host gets them of a journal."""
    with JournalReader(directory) as reader:
        return [(one.sequence, one.publish_time_ns, bytes(one.payload)) for one in reader if not isinstance(one, Loss)]


class Buyer(Strategy):
    """Swaps coins into the other token at each block's end: an order that is no round trip."""

    name = "buyer"

    def on_block_end(self, end: BlockEnd) -> None:
        leg = OrderLeg(POOLS[0][0], COIN, USDC, 1)
        self.order([leg], UNIT, min_amount_out=1, block_number=end.number, expires_block=end.number + 3)


class Failing(Strategy):
    """Raises now and then."""

    name = "failing"

    def on_block_end(self, end: BlockEnd) -> None:
        if end.number % 10 == 0:
            raise ValueError("ten again")


class Broken(Failing):
    """Raises at every block's end."""

    name = "broken"

    def on_block_end(self, end: BlockEnd) -> None:
        raise ValueError("never")


def test_order_hash_is_that_of_the_strategy_driven_by_hand(tmp_path: Path) -> None:
    small_market(100).write(tmp_path, segments=2)
    result, _ = backtest(tmp_path, [FlashArbitrage()])
    [flash] = result.strategies
    drafts = drive(FlashArbitrage(), UUID, frames_in(tmp_path))
    assert flash.messages == len(drafts) > 20
    assert flash.order_hash == hash_of(drafts)


def test_run_done_twice_gives_the_same_hashes_and_sums(tmp_path: Path) -> None:
    small_market(100).write(tmp_path)
    first, _ = backtest(tmp_path, [FlashArbitrage()])
    second, _ = backtest(tmp_path, [FlashArbitrage()])
    assert first.execution_hash == second.execution_hash
    assert first.strategies[0].order_hash == second.strategies[0].order_hash
    assert first.account.ledger.total == second.account.ledger.total


def test_native_strategy_publishes_the_same_however_the_journal_is_parted(tmp_path: Path) -> None:
    small_market(100).write(tmp_path, segments=1)
    result, _ = backtest(tmp_path, [NativeMover(MoverParams(threshold_pips=100))])
    small_market(100).write(tmp_path / "parted", segments=5)
    parted, _ = backtest(tmp_path / "parted", [NativeMover(MoverParams(threshold_pips=100))])
    assert result.strategies[0].messages > 20
    assert result.strategies[0].order_hash == parted.strategies[0].order_hash


def test_account_adds_up_to_what_the_executor_counted(tmp_path: Path) -> None:
    small_market(200).write(tmp_path)
    result, executor = backtest(tmp_path, [FlashArbitrage(), Buyer()])
    account, total = result.account, executor.ledger.total
    assert total.filled > 50 and account.state_count(OrderState.FAILED) > 20
    assert account.ledger.total == total
    assert {name: pnl.net for name, pnl in account.ledger.by_strategy.items()} == {
        name: pnl.net for name, pnl in executor.ledger.by_strategy.items()
    }
    assert set(account.ledger.by_strategy) == {"flash_arbitrage", "buyer"}
    assert account.equity[-1].equity == total.net == sum(point.change for point in account.equity)
    assert account.equity[-1].expected_equity == total.expected


def test_sums_are_kept_without_what_they_are_made_of(tmp_path: Path) -> None:
    small_market(100).write(tmp_path)
    result, executor = backtest(tmp_path, [FlashArbitrage()])
    states = dict(result.account.ledger.states)
    result.keep_sums()
    assert result.account.ledger.total == executor.ledger.total
    assert (dict(result.account.ledger.states), len(pickle.dumps(result)) < 10_000) == (states, True)


def test_round_trips_of_the_chains_coin_sum_up_without_a_conversion(tmp_path: Path) -> None:
    small_market(200).write(tmp_path)
    result, _ = backtest(tmp_path, [FlashArbitrage()])
    reports, fills = result.account.reports(), result.account.fills()
    gross = sum(one.amount_out - one.amount_in for one in reports if one.state == OrderState.FILLED)
    gas = sum(one.gas_price * one.gas_units for one in reports)
    assert {one.token for one in reports if one.amount_out} == {COIN}
    assert (result.account.ledger.total.gross, result.account.ledger.total.gas) == (gross, gas)
    assert len(fills) == 2 * result.account.ledger.total.filled
    assert result.account.by_token[COIN].net == gross - gas


def test_drawdown_is_the_deepest_fall_below_a_peak(tmp_path: Path) -> None:
    small_market(200).write(tmp_path)
    account = backtest(tmp_path, [FlashArbitrage()])[0].account
    sums = [0, *(point.equity for point in account.equity)]
    assert account.drawdown == max(max(sums[: at + 1]) - value for at, value in enumerate(sums)) > 0


def test_later_executors_get_the_same_orders(tmp_path: Path) -> None:
    small_market(100).write(tmp_path)
    result, _ = backtest(tmp_path, [Buyer()], ExecutionConfig(), later=(2, 3))
    assert sorted(result.by_delay) == [2, 3]
    direct, _ = backtest(tmp_path, [Buyer()], ExecutionConfig(delay_blocks=2))
    assert result.by_delay[2].ledger.total == direct.account.ledger.total != result.account.ledger.total


def test_net_at_a_probability_is_a_share_of_net(tmp_path: Path) -> None:
    small_market(50).write(tmp_path)
    account = backtest(tmp_path, [FlashArbitrage()])[0].account
    net = account.ledger.total.net
    assert [account.net_at(ppm) for ppm in (0, 500_000, 1_000_000)] == [0, net // 2, net]


def test_messages_bear_the_time_of_the_event_behind_them(tmp_path: Path) -> None:
    small_market(20).write(tmp_path)
    result, _ = backtest(tmp_path, [FlashArbitrage()])
    built = {int.from_bytes(payload[16:24], "little") for _, _, payload in frames_in(tmp_path)}
    assert {wish.time_ns for wish in result.wishes} <= built
    latencies = result.account.latencies_ns()
    assert latencies and all(0 < one < 50_000_000 for one in latencies)


def test_loss_in_the_journal_reaches_strategy_and_executor(tmp_path: Path) -> None:
    market = SmallMarket()
    for number in range(1, 60):
        market.block(number)
        if number == 30:
            market.put(Domain.SYSTEM, [Gap(31, 31, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK)], 0)
    market.write(tmp_path, segments=3)
    sorted(tmp_path.glob("segment-*"))[1].unlink()
    result, _ = backtest(tmp_path, [FlashArbitrage()])
    assert result.strategies[0].lost > 50
    assert any("frames are missing in the journal" in reason for reason in result.missing)


def test_strategy_that_raises_is_told_and_the_run_is_not_complete(tmp_path: Path) -> None:
    small_market(30).write(tmp_path)
    result, _ = backtest(tmp_path, [Failing(), Buyer()])
    failing, buyer = result.strategies
    assert (failing.poisoned, failing.stopped) == (3, "")
    assert "ten again" in failing.poison[0]
    assert buyer.orders == 30
    assert any(reason.startswith("strategy failing raised on 3 frames") for reason in result.missing)


def test_strategy_that_keeps_raising_is_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    small_market(30).write(tmp_path)
    result, _ = backtest(tmp_path, [Broken(), Buyer()])
    broken, buyer = result.strategies
    assert broken.stopped and broken.poisoned == 10
    assert buyer.orders == 30
    assert any(reason.startswith("strategy broken was stopped") for reason in result.missing)


@pytest.mark.parametrize("cls", [Fill, ExecutionReport])
def test_everything_that_was_booked_names_its_strategy(tmp_path: Path, cls: type[Any]) -> None:
    small_market(30).write(tmp_path)
    result, _ = backtest(tmp_path, [FlashArbitrage(), Buyer()])
    names = {one.strategy for one in result.account.booked if isinstance(one.record, cls)}
    assert names == {"flash_arbitrage", "buyer"}


class Late(Strategy):
    """Orders on the state of the block before the one that has just ended: its block is over."""

    name = "late"

    def on_block_end(self, end: BlockEnd) -> None:
        leg = OrderLeg(POOLS[0][0], COIN, USDC, 1)
        self.order([leg], UNIT, block_number=end.number - 1, expires_block=end.number)


def test_order_behind_the_end_of_its_block_is_late(tmp_path: Path) -> None:
    small_market(30).write(tmp_path)
    result, _ = backtest(tmp_path, [Late()])
    assert result.strategies[0].orders == 30
    assert result.account.ledger.reasons == {"late": 29}
    assert result.waiting == 1  # for the next block's end, at which it would be told


def test_executor_alone_with_the_same_orders_in_their_places_gives_the_same(tmp_path: Path) -> None:
    small_market(100).write(tmp_path, segments=3)
    result, _ = backtest(tmp_path, [Buyer()])
    executor, found = PaperExecutor(CONFIG), OrderHash()
    strategy, seen = Driver(Buyer(), UUID), Driver(executor, UUID)
    sequence = 0
    for frame in frames_in(tmp_path):
        drafts = seen.deliver(*frame)
        for draft in strategy.deliver(*frame):
            sequence += 1
            data = build(draft.domain, draft.source, draft.records)
            executor.take_order(data, ring_of("buyer"), sequence, int.from_bytes(frame[2][16:24], "little"))
            drafts = [*drafts, *executor.drafts]
        for draft in drafts:
            found.add(build(draft.domain, draft.source, draft.records))
    assert result.account.ledger.total.filled > 50
    assert result.execution_hash == found.hexdigest()
