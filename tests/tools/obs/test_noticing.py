"""What is told of conditions over time."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from tools.obs.conditions import Condition
from tools.obs.noticing import FLAPS, GONE, REMIND_S, WINDOW_S, NoticeKind, Noticing

AFTER_S = 10.0
BEGUN, FOUND, STILL, FLAPPING, ENDED = NoticeKind


def endpoint(ok: bool, text: str = "") -> Condition:
    return Condition("endpoint", "market.polygon", ok, "ok" if ok else "stale", "ok", text)


def told(noticing: Noticing, looks: Iterable[tuple[float, bool]]) -> list[tuple[float, NoticeKind]]:
    """When what was told of one condition."""
    return [(at, one.kind) for at, ok in looks for one in noticing.advance([endpoint(ok)], at)]


def test_noticing_tells_a_beginning_once_and_its_end_once() -> None:
    looks = [(float(t), not 5 <= t < 60) for t in range(120)]
    assert told(Noticing(AFTER_S), looks) == [(15.0, BEGUN), (70.0, ENDED)]


def test_noticing_says_when_it_began_and_ended_not_when_it_was_sure() -> None:
    noticing = Noticing(AFTER_S)
    notices = [one for t in range(40) for one in noticing.advance([endpoint(not 5 <= t < 20, f"at {t}")], float(t))]
    assert [(one.at_s, one.since_s, one.text) for one in notices] == [(5.0, 5.0, "at 15"), (20.0, 5.0, "at 30")]


def test_noticing_tells_nothing_of_what_lasts_for_less() -> None:
    assert told(Noticing(AFTER_S), [(float(t), not 5 <= t < 14) for t in range(60)]) == []


def test_noticing_of_what_is_met_again_for_a_moment_does_not_tell_an_end() -> None:
    looks = [(float(t), t < 5 or t == 30) for t in range(60)]
    assert told(Noticing(AFTER_S), looks) == [(15.0, BEGUN)]


def test_noticing_tells_what_is_unmet_as_it_begins_as_found() -> None:
    assert told(Noticing(AFTER_S), [(float(t), t > 30) for t in range(60)]) == [(10.0, FOUND), (41.0, ENDED)]


def test_noticing_tells_what_was_met_between_as_begun() -> None:
    looks = [(0.0, False), (5.0, True), *((float(t), False) for t in range(6, 30))]
    assert told(Noticing(AFTER_S), looks) == [(16.0, BEGUN)]


def test_noticing_without_delay_tells_at_once() -> None:
    assert told(Noticing(0.0), [(0.0, True), (1.0, False), (2.0, True)]) == [(1.0, BEGUN), (2.0, ENDED)]


def test_noticing_reminds_of_what_lasts() -> None:
    looks = [(0.0, True), *((float(t), False) for t in range(1, int(2.5 * REMIND_S), 60))]
    (begun, *reminders) = told(Noticing(AFTER_S), looks)
    assert begun[1] is BEGUN
    assert [kind for _, kind in reminders] == [STILL, STILL]
    assert reminders[1][0] - reminders[0][0] >= REMIND_S


def test_noticing_tells_flapping_once_and_its_end_when_it_is_steady() -> None:
    flaps = [(float(t), t % 40 < 20) for t in range(400)]
    steady = [(float(t), True) for t in range(400, 400 + int(WINDOW_S) + 60)]
    kinds = [kind for _, kind in told(Noticing(AFTER_S), flaps + steady)]
    assert kinds.count(FLAPPING) == 1 and kinds[-2:] == [FLAPPING, ENDED]
    assert kinds.count(BEGUN) == FLAPS - 1


def test_noticing_tells_flapping_that_never_lasts_long_enough_to_be_told() -> None:
    looks = [(float(t), t % 10 < 5) for t in range(300)]
    assert [kind for _, kind in told(Noticing(AFTER_S), looks)] == [FLAPPING]


def test_noticing_tells_flapping_that_settles_unmet_as_still_unmet() -> None:
    flaps = [(float(t), t % 10 < 5) for t in range(100)]
    unmet = [(float(t), False) for t in range(100, 100 + int(WINDOW_S) + 60)]
    assert [kind for _, kind in told(Noticing(AFTER_S), flaps + unmet)] == [FLAPPING, STILL]


def test_noticing_of_what_is_not_judged_any_more_tells_its_end() -> None:
    noticing = Noticing(0.0)
    noticing.advance([], 0.0)
    noticing.advance([endpoint(False)], 1.0)
    (notice,) = noticing.advance([], 2.0)
    assert (notice.kind, notice.text) == (ENDED, GONE)


def test_noticing_of_two_judgements_on_one_thing_takes_the_worse() -> None:
    noticing = Noticing(0.0)
    assert [one.kind for one in noticing.advance([endpoint(False, "bad"), endpoint(True)], 0.0)] == [FOUND]
    assert noticing.advance([endpoint(True), endpoint(False, "bad")], 1.0) == []


@given(st.lists(st.tuples(st.floats(0.1, 400.0), st.booleans()), max_size=200))
def test_noticing_tells_in_an_order_that_makes_sense_and_forgets_what_is_over(steps: list[tuple[float, bool]]) -> None:
    noticing, now, standing = Noticing(AFTER_S), 0.0, None
    for pause, ok in [*steps, (1.0, True), (WINDOW_S + 1, True), (AFTER_S, True)]:
        now += pause
        for one in noticing.advance([endpoint(ok)], now):
            assert one.since_s <= one.at_s <= now
            if one.kind in {BEGUN, FOUND}:
                assert standing is None
            elif one.kind in {STILL, ENDED}:
                assert standing is not None
            standing = None if one.kind is ENDED else one.kind
    assert standing is None
    assert not noticing._troubles
