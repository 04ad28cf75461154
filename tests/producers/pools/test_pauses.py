"""When a question without an answer is asked again."""

from __future__ import annotations

from producers.pools.pauses import Pauses

MS = 1_000_000


def test_pauses_that_never_failed_are_due_at_once() -> None:
    assert Pauses(0.1, 2.0).due_ns == 0


def test_pauses_double_up_to_the_longest() -> None:
    pauses, now_ns, waited = Pauses(0.1, 0.5), 7 * MS, []
    for _ in range(5):
        pauses.failed(now_ns)
        waited.append((pauses.due_ns - now_ns) // MS)
        now_ns = pauses.due_ns
    assert waited == [100, 200, 400, 500, 500]
