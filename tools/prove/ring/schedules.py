"""Runs the kernels' memory accesses in every order that matters.

Owns the scheduler: which thread goes next, which of the visible messages a load returns, which thread is killed when.
It must never know the protocol; a scenario brings the threads and the judge.

A schedule is the list of decisions that were not the default (run on, read the newest).  Few bugs need more than two
preemptions and one stale read (Musuvathi and Qadeer, "Iterative context bounding", PLDI 2007), so all schedules
within such a budget are tried, shortest first, and random ones beyond.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tools.prove.ring.stepping import Steps
from tools.prove.ring.weak_memory import ThreadView, WeakMemory

LOADS = {"load_acquire": True, "load_monotonic": False}  # whether it acquires
STORES = {"store_release": True, "store_monotonic": False}  # whether it releases
FENCES = {  # acquire, release, sequentially consistent
    "fence_acquire": (True, False, False),
    "fence_release": (False, True, False),
    "fence_seq_cst": (True, True, True),
}


class Violation(AssertionError):
    """A result that the protocol excludes."""


@dataclass
class Thread:
    """A program that stops at every shared access."""

    name: str
    steps: Steps
    view: ThreadView
    killable: bool = False
    done: bool = False
    asleep_on: tuple[str, int] | None = None
    answer: Any = None  # what the last access returned
    started: bool = False


class Decisions:
    """Where a run departed from the default, and where it could have."""

    def __init__(self, departures: dict[int, int]) -> None:
        self.departures = departures
        self.options: list[int] = []

    def choose(self, count: int) -> int:
        """One of `count` options; 0 is the default."""
        at = len(self.options)
        self.options.append(count)
        return min(self.departures.get(at, 0), count - 1)


class RandomDecisions(Decisions):
    """Departs at random places."""

    def __init__(self, chance: float, generator: random.Random) -> None:
        super().__init__({})
        self.chance = chance
        self.generator = generator

    def choose(self, count: int) -> int:
        self.options.append(count)
        if count == 1 or self.generator.random() >= self.chance:
            return 0
        return self.generator.randrange(1, count)


@dataclass
class ScheduledRun:
    """One run: its memory, its threads, and the callbacks that check it."""

    memory: WeakMemory
    threads: list[Thread]
    decisions: Decisions
    on_store: Callable[[str, tuple[str, int], int], None] = lambda name, location, value: None
    on_end: Callable[[ScheduledRun], None] = lambda world: None
    on_death: Callable[[ScheduledRun], Thread] | None = None
    trace: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run all threads to their ends, or to a sleep that no other thread will end."""
        current = self.threads[0]
        while True:
            ready = [thread for thread in self.threads if not thread.done and thread.asleep_on is None]
            if not ready:
                break
            if current not in ready:
                current = ready[self.decisions.choose(len(ready))]
            else:
                others = [thread for thread in ready if thread is not current]
                mortal = 1 if current.killable and self.on_death is not None else 0
                choice = self.decisions.choose(1 + len(others) + mortal)
                if choice > len(others):
                    current = self._kill(current)
                elif choice:
                    current = others[choice - 1]
            self._step(current)
        self.on_end(self)

    def _kill(self, victim: Thread) -> Thread:
        assert self.on_death is not None
        victim.done = True
        victim.steps.close()
        successor = self.on_death(self)
        self.on_death = None
        self.threads.append(successor)
        return successor

    def _step(self, thread: Thread) -> None:
        try:
            access = thread.steps.send(thread.answer)
        except StopIteration:
            thread.done = True
            return
        thread.answer = self._access(thread, *access)

    def _access(self, thread: Thread, operation: str, array: str = "", word: int = 0, value: int = 0, *_: int) -> int:
        location = (array, word)
        if operation in LOADS:
            return self.memory.load(thread.view, location, LOADS[operation], self.decisions.choose)
        if operation in STORES:
            self.memory.store(thread.view, location, value, STORES[operation])
            self.on_store(thread.name, location, value)
        elif operation in FENCES:
            self.memory.fence(thread.view, *FENCES[operation])
        elif operation == "fetch_max":
            return self.memory.fetch_max(thread.view, location, value)
        elif operation == "futex_wait":
            # The kernel compares and sleeps in one step, on the word as it is.
            if self.memory.newest(location) == value:
                thread.asleep_on = location
        elif operation == "futex_wake":
            for sleeper in self.threads:
                if sleeper.asleep_on == location:
                    sleeper.asleep_on = None
        return 0


Scenario = Callable[[Decisions], ScheduledRun]


@dataclass
class Search:
    """The result of a search."""

    runs: int = 0
    violation: str | None = None
    schedule: str = ""


def try_one(scenario: Scenario, decisions: Decisions, search: Search) -> bool:
    """Run one schedule; returns whether it ended in a Violation."""
    search.runs += 1
    try:
        scenario(decisions).run()
    except Violation as violation:
        search.violation = str(violation)
        search.schedule = repr(decisions.departures)
        return True
    return False


def search_systematically(scenario: Scenario, departures: int, limit: int) -> Search:
    """Every schedule with up to `departures` departures, fewest first, at most `limit` runs."""
    search = Search()
    level: list[dict[int, int]] = [{}]
    for depth in range(departures + 1):
        following: list[dict[int, int]] = []
        for chosen in level:
            if search.runs >= limit:
                return search
            decisions = Decisions(chosen)
            if try_one(scenario, decisions, search):
                return search
            if depth < departures:
                first = max(chosen, default=-1) + 1
                following.extend(
                    {**chosen, at: option}
                    for at in range(first, len(decisions.options))
                    for option in range(1, decisions.options[at])
                )
        level = following
    return search


def search_randomly(scenario: Scenario, runs: int, seed: int) -> Search:
    """`runs` schedules with random departures, some with few and some with many."""
    search, generator = Search(), random.Random(seed)
    for _ in range(runs):
        decisions = RandomDecisions(generator.choice((0.02, 0.05, 0.1, 0.3)), generator)
        if try_one(scenario, decisions, search):
            break
    return search
