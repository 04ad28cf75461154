"""Row 3: the kernels under every schedule within a budget; and mutants, to show that the search finds broken rules.

Owns the budgets.  It must never know what a scenario does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.prove.ring.mutants import MUTANTS, scenarios_for
from tools.prove.ring.scenarios import SCENARIOS
from tools.prove.ring.schedules import Search, search_randomly, search_systematically
from tools.prove.ring.stepping import Mutation
from tools.rig.outcome import Outcome, Progress, say_nothing, timed


@dataclass(frozen=True)
class Budget:
    """How far a search goes."""

    departures: int
    systematic_runs: int
    random_runs: int


QUICK = Budget(2, 400, 300)
"""Catches every mutant with the seed of the tests."""
DEEP = Budget(3, 60_000, 60_000)
MUTANTS_BUDGETS = (QUICK, Budget(2, 6000, 6000))
"""A short search first: it catches nearly all mutants, some by a random schedule that the long one reaches last."""


def search(name: str, mutation: Mutation | None, budget: Budget, seed: int) -> Search:
    """Search one scenario; stops at the first violation."""
    scenario = SCENARIOS[name](mutation)
    found = search_systematically(scenario, budget.departures, budget.systematic_runs)
    if found.violation is None:
        runs = found.runs
        found = search_randomly(scenario, budget.random_runs, seed)
        found.runs += runs
    return found


@timed
def prove_schedules(seed: int = 1, *, deep: bool = False, progress: Progress = say_nothing) -> Outcome:
    """Row 3: no schedule and no reordering within the budget makes a reader deliver anything wrong.

    `progress` is called as each scenario begins.
    """
    runs, budget = 0, DEEP if deep else QUICK
    for place, name in enumerate(SCENARIOS, 1):
        progress(f"  scenario {name} ({place} of {len(SCENARIOS)}), {runs} schedules so far")
        found = search(name, None, budget, seed)
        runs += found.runs
        if found.violation is not None:
            where = f"{name}: {found.violation}, departures {found.schedule}"
            return Outcome(3, "schedules", False, f"after {runs} schedules, {where}", seed)
    summary = f"{runs} schedules of {len(SCENARIOS)} scenarios in weak memory, 0 violations"
    return Outcome(3, "schedules", True, summary, seed)


def catch(mutation: Mutation, word: str, budgets: Sequence[Budget], seed: int) -> tuple[str, Search] | None:
    """The scenario in which a mutant was caught, and how; None if it survived."""
    for budget in budgets:
        for name in scenarios_for(word):
            found = search(name, mutation, budget, seed)
            if found.violation is not None:
                return name, found
    return None


@timed
def prove_mutants_are_caught(seed: int = 1, budgets: Sequence[Budget] = MUTANTS_BUDGETS) -> Outcome:
    """Row 3: each rule of the protocol, broken, violates a scenario; so the searches above would find it too."""
    survivors, runs = [], 0
    for mutation, word in MUTANTS:
        caught = catch(mutation, word, budgets, seed)
        if caught is None:
            survivors.append(mutation.name)
        else:
            runs += caught[1].runs
    caught_count = len(MUTANTS) - len(survivors)
    summary = f"{caught_count} of {len(MUTANTS)} caught in {runs} schedules" + "".join(
        f"; alive: {s}" for s in survivors
    )
    return Outcome(3, "mutants", not survivors, summary, seed)
