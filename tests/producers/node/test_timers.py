"""When what was put off runs, on a clock of the test's."""

from __future__ import annotations

from producers.node.timers import Clock, Timers


def test_timers_run_what_is_due_exactly_now_and_nothing_before() -> None:
    clock, ran = Clock(now_ns=100), list[str]()
    timers = Timers(clock)
    timers.after(10, lambda: ran.append("later"))
    timers.after(0, lambda: ran.append("at once"))
    assert timers.deadline_ns == 100
    timers.run()
    assert (ran, timers.deadline_ns) == (["at once"], 110)
    clock.now_ns = 109
    timers.run()
    assert ran == ["at once"]
    clock.now_ns = 110
    timers.run()
    assert (ran, len(timers), timers.deadline_ns) == (["at once", "later"], 0, None)


def test_timers_due_at_one_time_run_in_the_order_in_which_they_were_set() -> None:
    clock, ran = Clock(), list[int]()
    timers = Timers(clock)
    for number in range(5):
        timers.after(7, lambda number=number: ran.append(number))  # type: ignore[misc]
    clock.now_ns = 8
    timers.run()
    assert ran == [0, 1, 2, 3, 4]
