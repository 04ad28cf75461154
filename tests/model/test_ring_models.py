"""The kernels in weak memory, their mutants, and what a killed writer leaves."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ringbuf.layout import INTENT, TAIL
from tools.prove.ring.crash_images import LoggedStore, images, prove_crash_images
from tools.prove.ring.models import QUICK, prove_mutants_are_caught, prove_schedules
from tools.prove.ring.mutants import MUTANTS
from tools.prove.ring.stepping import Mutation, MutationDoesNotFit, stepping_kernels
from tools.prove.ring.weak_memory import ThreadView, WeakMemory
from tools.rig.outcome import Outcome

X, Y = ("words", 1), ("words", 2)


def report(outcome: Outcome, tell: Callable[[str], None]) -> None:
    tell(outcome.line())
    assert outcome.passed, outcome.line()


def test_schedules_within_budget_break_no_promise(tell: Callable[[str], None]) -> None:
    """P1 under every schedule: what is read, joined, woken and sought (I1, I3, I7, I8, I9)."""
    report(prove_schedules(seed=1), tell)


def test_mutants_are_all_caught(tell: Callable[[str], None]) -> None:
    """Each rule of I1, I2, I3, I4, I5, I7, I8 broken once: the search above, as far as it goes, notices."""
    assert len(MUTANTS) >= 6
    report(prove_mutants_are_caught(seed=1, budgets=(QUICK,)), tell)


def test_crash_images_are_never_believed_wrongly(tell: Callable[[str], None]) -> None:
    """P2 at each single store: commits, intent and sequences after a kill (I1, I2, I5, I6)."""
    report(prove_crash_images(seed=1), tell)


@pytest.mark.parametrize("word", ["COMMIT_SEQUENCE", "COMMIT_TAIL"])
def test_crash_images_with_a_relaxed_commit_record_are_noticed(word: str) -> None:
    relaxed = Mutation(word, f"store_release(words, at + {word}", f"store_monotonic(words, at + {word}")
    assert not prove_crash_images(mutation=relaxed).passed


def test_mutation_that_no_longer_fits_is_reported() -> None:
    with pytest.raises(MutationDoesNotFit, match="0 places"):
        stepping_kernels(Mutation("gone", "no such source line", ""))


@pytest.mark.parametrize("released", [True, False])
def test_weak_memory_message_passing_needs_release_and_acquire(released: bool) -> None:
    memory = WeakMemory({X: 0, Y: 0})
    writer, reader = ThreadView(), ThreadView()
    memory.store(writer, X, 1, False)
    memory.store(writer, Y, 1, released)
    assert memory.load(reader, Y, True, lambda _: 0) == 1
    oldest_of_x = memory.load(reader, X, False, lambda count: count - 1)
    assert oldest_of_x == (1 if released else 0)


@pytest.mark.parametrize("fenced", [True, False])
def test_weak_memory_store_then_load_needs_a_full_fence(fenced: bool) -> None:
    memory = WeakMemory({X: 0, Y: 0})
    first, second = ThreadView(), ThreadView()
    seen = []
    for thread, mine, others in ((first, X, Y), (second, Y, X)):
        memory.store(thread, mine, 1, True)
        if fenced:
            memory.fence(thread, True, True, True)
        seen.append(memory.load(thread, others, True, lambda count: count - 1))
    assert seen == ([0, 1] if fenced else [0, 0])


def test_crash_images_keep_what_fences_and_releases_order() -> None:
    intent = LoggedStore(("words", INTENT), 64, False, 0)
    payload = [LoggedStore(("words", 600 + i), i, False, 1) for i in range(3)]
    tail = LoggedStore(("words", TAIL), 64, True, 1)
    seen = set(images([intent, *payload, tail], random.Random(1)))
    assert frozenset() in seen and frozenset(range(5)) in seen
    assert all(0 in made for made in seen if made), "a payload word before intent"
    assert all(made == set(range(5)) for made in seen if 4 in made), "tail before a payload word"
    assert len(seen) == 1 + 8 + 1  # nothing; intent with any payload words; everything
