"""What an endpoint is worth, on a clock of the test's: each way of being useless is left within the bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from producers.node.health import ALONE, FeedCounts, FeedHealth
from tlv.codes import FeedReason

SECOND = 1_000_000_000
ZERO = FeedCounts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, 0)
WITHIN_S = 9.91
"""A look later than the bound less what is left for the connection to the next endpoint."""


@dataclass
class Observed:
    """A feed's counters, moved by hand, under the judgement that is tested."""

    health: FeedHealth
    alone: bool = False
    now_s: float = 0.0
    counts: FeedCounts = ZERO
    mute: bool = False
    """It does not say its newest number."""
    newest: int | None = None
    """What it says; None = its head."""
    elsewhere: int | None = None
    shown: list[FeedReason] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.health.connected(0, ZERO)

    def add(self, **more: int) -> None:
        self.counts = self.counts._replace(**{name: getattr(self.counts, name) + n for name, n in more.items()})

    def block(self) -> None:
        """A block is pushed, and ends."""
        self.add(heads=1, headers=1, frames=1, ends=1, head=1, safe=1)

    def head(self) -> None:
        """A head is pushed, and its block does not end."""
        self.add(heads=1, headers=1, frames=1, head=1)

    def look(self, step_s: float = 0.1) -> FeedReason:
        self.now_s += step_s
        reason = self.health.look(int(self.now_s * SECOND), self.counts, alone=self.alone)
        if self.health.asks() and not self.mute:
            said = self.counts.head if self.newest is None else self.newest
            self.counts = self.counts._replace(said=said)
            self.add(times_said=1, answers=1, frames=1)
        if self.elsewhere is not None and self.health.asks_elsewhere():
            self.health.heard_elsewhere(self.elsewhere)
        self.shown.append(self.health.health())
        return reason

    def left(self, within_s: float, every_s: float = 0.0, event: Any = None) -> tuple[FeedReason, float]:
        """The verdict, and after how many seconds it came; OK if it did not come in time."""
        began, due = self.now_s, self.now_s + every_s
        while self.now_s < began + within_s:
            if event is not None and self.now_s >= due:
                due += every_s
                event()
            reason = self.look()
            if reason is not FeedReason.OK:
                return reason, self.now_s - began
        return FeedReason.OK, within_s

    def live(self, seconds: float, block_time_s: float = 2.0) -> None:
        """All is well for so long."""
        assert self.left(seconds, block_time_s, self.block)[0] is FeedReason.OK


def observed(block_time_s: float = 0.0, **options: Any) -> Observed:
    return Observed(FeedHealth(block_time_s, 10.0), **options)


def test_health_of_a_node_whose_blocks_end_is_ok() -> None:
    node = observed(2.0)
    node.live(600)
    assert node.shown[0] is FeedReason.CONNECTING
    assert set(node.shown[30:]) == {FeedReason.OK}


def test_health_of_a_silent_node_leaves_it_at_the_bound_and_shows_it_before() -> None:
    node = observed(mute=True)
    reason, after_s = node.left(60)
    assert reason is FeedReason.SILENT
    assert after_s == pytest.approx(9.8, abs=0.2)
    assert FeedReason.SILENT in node.shown[:50], "shown within 5 s"


def test_health_of_a_node_that_falls_silent_after_living_leaves_it_at_the_bound() -> None:
    node = observed(mute=True)
    node.live(60, 1.0)
    shown = len(node.shown)
    reason, after_s = node.left(60)
    assert reason is FeedReason.SILENT
    assert after_s <= WITHIN_S
    assert FeedReason.SILENT in node.shown[shown : shown + 50]


def test_health_of_a_node_that_pushes_and_answers_nothing_leaves_it_at_the_bound() -> None:
    node = observed(mute=True)
    node.add(owed=1)
    reason, after_s = node.left(60, 1.0, node.head)
    assert reason is FeedReason.NOT_ANSWERING
    assert after_s <= WITHIN_S


def test_health_of_a_node_whose_blocks_end_and_that_owes_every_answer_leaves_it() -> None:
    node = observed(mute=True)
    node.live(20)
    node.add(owed=3)
    reason, after_s = node.left(60, 1.0, node.block)
    assert (reason, after_s <= 16.5) == (FeedReason.NOT_ANSWERING, True)


def test_health_of_a_node_whose_answers_never_come_is_left_although_nothing_is_owed_between_two_attempts() -> None:
    node = observed(mute=True)
    node.live(20)

    def late() -> None:
        node.block()
        node.add(timeouts=1)

    reason, after_s = node.left(60, 1.0, late)
    assert (reason, after_s <= 17.5) == (FeedReason.NOT_ANSWERING, True)


def test_health_of_the_only_node_is_borne_while_its_blocks_end() -> None:
    node = observed(mute=True, alone=True)
    node.live(20)
    node.add(owed=3)
    assert node.left(60, 1.0, node.block)[0] is FeedReason.OK


def test_health_of_a_node_whose_quota_is_used_up_leaves_it_although_it_says_its_number() -> None:
    node = observed()
    node.live(20)

    def refused() -> None:
        node.block()
        node.add(refusals=1, limited=1)

    reason, after_s = node.left(60, 1.0, refused)
    assert (reason, after_s <= 16.5) == (FeedReason.REFUSED, True), "8 x 2 s"


def test_health_of_a_node_that_refuses_everything_in_unknown_words_leaves_it() -> None:
    node = observed(mute=True)
    node.live(20)

    def refused() -> None:
        node.block()
        node.add(refusals=1)

    reason, after_s = node.left(60, 1.0, refused)
    assert (reason, after_s <= 16.5) == (FeedReason.REFUSED, True)


def test_health_of_a_node_that_fails_the_calls_of_one_contract_keeps_it() -> None:
    """Nobody must be able to make a collector leave a node by deploying a contract."""
    node = observed()
    node.live(20)

    def failed() -> None:
        node.block()
        node.add(refusals=1)

    node.add(owed=1)
    assert node.left(120, 1.0, failed)[0] is FeedReason.OK


def test_health_of_a_node_that_refuses_now_and_then_keeps_it() -> None:
    node = observed()

    def mixed() -> None:
        node.block()
        node.add(refusals=3, answers=1)

    assert node.left(120, 1.0, mixed)[0] is FeedReason.OK


def test_health_of_a_node_that_refused_once_and_is_asked_nothing_keeps_it() -> None:
    node = observed()
    node.live(5)
    node.add(refusals=1)
    node.live(120)


def test_health_of_a_node_whose_heads_come_and_blocks_do_not_end_leaves_it_at_the_bound() -> None:
    node = observed()
    reason, after_s = node.left(60, 1.0, node.head)
    assert reason is FeedReason.NO_BLOCK_ENDS
    assert after_s <= WITHIN_S


def test_health_of_the_only_node_that_talks_is_borne_longer_and_shown_at_once() -> None:
    node = observed(alone=True)
    reason, after_s = node.left(100, 1.0, node.head)
    assert reason is FeedReason.NO_BLOCK_ENDS
    assert after_s == pytest.approx(10 * ALONE, abs=1)
    assert FeedReason.NO_BLOCK_ENDS in node.shown[:70]


def test_health_of_a_node_whose_blocks_are_all_gaps_leaves_it() -> None:
    node = observed()

    def gap() -> None:
        node.head()
        node.add(gaps=1, safe=1)

    reason, after_s = node.left(60, 1.0, gap)
    assert reason is FeedReason.ONLY_GAPS
    assert after_s <= WITHIN_S
    assert FeedReason.ONLY_GAPS in node.shown[:60]


def test_health_of_an_idle_development_chain_is_ok_for_hours() -> None:
    node = observed(elsewhere=1)
    node.block()
    node.block()
    assert node.left(3600)[0] is FeedReason.OK
    assert set(node.shown) == {FeedReason.OK}


def test_health_of_an_idle_chain_is_ok_when_the_next_block_comes_and_takes_a_while_to_end() -> None:
    node = observed()
    node.block()
    node.left(100)
    node.head()
    assert node.left(4.5)[0] is FeedReason.OK
    node.add(ends=1, safe=1)
    assert node.left(100)[0] is FeedReason.OK
    assert set(node.shown) == {FeedReason.OK}


def test_health_of_an_idle_node_that_stops_answering_leaves_it() -> None:
    node = observed()
    node.block()
    node.left(100)
    node.mute = True
    shown = len(node.shown)
    reason, after_s = node.left(60)
    assert reason is FeedReason.SILENT
    assert after_s <= WITHIN_S
    assert FeedReason.SILENT in node.shown[shown : shown + 50]


def test_health_of_a_stale_head_leaves_the_node_within_the_bound_of_its_last_block() -> None:
    node = observed()
    node.live(30, 1.0)
    node.elsewhere = node.counts.head + 3
    reason, after_s = node.left(60)
    assert reason is FeedReason.STALE
    assert after_s <= WITHIN_S


def test_health_of_a_stale_head_that_nobody_beats_is_kept_and_shown_where_the_chain_has_a_block_time() -> None:
    node = observed(2.0)
    node.live(30)
    shown = len(node.shown)
    assert node.left(300)[0] is FeedReason.OK
    overdue = node.shown[shown:].index(FeedReason.STALE) / 10
    assert overdue <= 2.0 + 5.0, "5 s after the next block was due"


def test_health_of_a_node_that_knows_a_newer_block_and_pushes_none_leaves_it() -> None:
    node = observed()
    node.live(30, 1.0)
    node.newest = node.counts.head + 10
    reason, after_s = node.left(60)
    assert (reason, after_s <= WITHIN_S) == (FeedReason.NO_BLOCK_ENDS, True)


def test_health_of_ethereum_after_an_outage_of_40_blocks_recovers_at_once() -> None:
    """Back-filled headers come in milliseconds and say nothing of the block time."""
    node = observed(12.0)
    node.add(headers=40, frames=40)
    node.look()
    node.add(ends=40, head=40, safe=40)
    node.look()
    assert node.health.bound_ns == 96 * SECOND
    node.live(600, 12.0)
    assert FeedReason.STALE not in node.shown


def test_health_of_a_slow_chain_without_a_block_time_learns_it_from_live_heads_only() -> None:
    node = observed()
    for _ in range(60):
        node.add(headers=1, frames=1)
        node.look()
    node.live(130, 12.0)
    assert node.health.bound_ns == pytest.approx(96 * SECOND, rel=0.02)


def test_health_of_a_long_back_fill_is_ok_while_headers_come() -> None:
    node = observed()

    def fetched() -> None:
        node.add(headers=1, frames=1, answers=1)

    assert node.left(600, 5.0, fetched)[0] is FeedReason.OK


def test_health_after_a_suspended_machine_waits_before_it_judges() -> None:
    node = observed(mute=True)
    node.live(10, 1.0)
    assert node.look(3600.0) is FeedReason.OK
    assert node.left(8.5)[0] is FeedReason.OK
    assert node.left(5)[0] is FeedReason.SILENT


def test_health_of_the_next_connection_begins_with_the_full_patience() -> None:
    node = observed(mute=True)
    node.left(60)
    node.health.connected(int(node.now_s * SECOND), node.counts)
    reason, after_s = node.left(60)
    assert (reason, after_s == pytest.approx(9.8, abs=0.2)) == (FeedReason.SILENT, True)


def test_health_of_a_node_that_talks_is_borne_ten_seconds_although_the_bound_is_shorter() -> None:
    node = Observed(FeedHealth(0.0, 2.0))
    reason, after_s = node.left(60, 1.0, node.head)
    assert reason is FeedReason.NO_BLOCK_ENDS
    assert after_s == pytest.approx(9.8, abs=0.2)
