"""A subscription is dead only on a connection that lives, and only where something should have been pushed."""

from __future__ import annotations

from producers.node.subscription_watch import BLOCKS, DEAD_NS, LONGEST_NS, Subscribed, SubscriptionWatch

SECOND = 1_000_000_000


def test_watch_of_blocks_with_logs_but_none_pushed_finds_the_logs_dead() -> None:
    watch = SubscriptionWatch()
    watch.restart(0)
    for _ in range(BLOCKS - 1):
        watch.head_pushed(has_logs=True)
    assert watch.dead(DEAD_NS + 1) is None, "too few blocks"
    watch.head_pushed(has_logs=True)
    assert watch.dead(DEAD_NS) is None, "too early"
    assert watch.dead(DEAD_NS + 1) is Subscribed.LOGS


def test_watch_of_an_idle_chain_finds_nothing_dead() -> None:
    watch = SubscriptionWatch()
    watch.restart(0)
    for _ in range(1000):
        watch.head_pushed(has_logs=False)
    assert watch.dead(3600 * SECOND) is None
    assert SubscriptionWatch().dead(3600 * SECOND) is None


def test_watch_of_logs_above_the_newest_head_finds_the_heads_dead() -> None:
    watch = SubscriptionWatch()
    watch.restart(0)
    watch.log_pushed(9, -1, SECOND)
    assert watch.dead(60 * SECOND) is None, "no block is followed yet"
    watch.head_pushed(has_logs=True)
    watch.log_pushed(10, 9, 2 * SECOND)
    watch.log_pushed(11, 9, 6 * SECOND)
    assert watch.dead(2 * SECOND + DEAD_NS) is None
    assert watch.dead(2 * SECOND + DEAD_NS + 1) is Subscribed.HEADS


def test_watch_of_a_head_that_comes_behind_its_logs_finds_nothing_dead() -> None:
    watch = SubscriptionWatch()
    watch.restart(0)
    for number in range(100):
        watch.log_pushed(number, number - 1, number * 12 * SECOND)
        watch.head_pushed(has_logs=True)
        assert watch.dead(number * 12 * SECOND + 11 * SECOND) is None


def test_watch_after_renewals_is_twice_as_patient_each_time() -> None:
    watch = SubscriptionWatch()
    now_ns, patience_ns = 0, DEAD_NS
    watch.restart(now_ns)
    for _ in range(10):
        for _ in range(BLOCKS):
            watch.head_pushed(has_logs=True)
        assert watch.dead(now_ns + patience_ns) is None
        now_ns += patience_ns + 1
        assert watch.dead(now_ns) is Subscribed.LOGS
        watch.renewed(Subscribed.LOGS, now_ns)
        assert watch.dead(now_ns) is None
        patience_ns = min(2 * patience_ns, LONGEST_NS)


def test_watch_of_a_node_whose_newest_block_is_not_pushed_finds_the_heads_dead() -> None:
    watch = SubscriptionWatch()
    watch.restart(0)
    watch.known(8, 8, SECOND)
    assert watch.dead(60 * SECOND) is None, "what it has is followed"
    watch.known(9, 8, 60 * SECOND)
    assert watch.dead(60 * SECOND + DEAD_NS) is None, "it may be on its way"
    assert watch.dead(60 * SECOND + DEAD_NS + 1) is Subscribed.HEADS
    watch.head_pushed(has_logs=False)
    assert watch.dead(60 * SECOND + DEAD_NS + 1) is None, "they live"
