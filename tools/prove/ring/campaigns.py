"""Everything that is proven about the ring, in the order of the fault table.

Owns the sizes of the campaigns: those of the test suite, and those of `--deep`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tools.prove.ring.compiled import prove_compiled_code
from tools.prove.ring.crash_images import prove_crash_images
from tools.prove.ring.damage import prove_damage_is_survived
from tools.prove.ring.kills import prove_kills, prove_short_restart
from tools.prove.ring.leaks import prove_nothing_leaks
from tools.prove.ring.models import prove_mutants_are_caught, prove_schedules
from tools.prove.ring.ownership import prove_one_writer
from tools.prove.ring.races import prove_exact_laps, prove_payloads_cannot_lie, prove_races
from tools.prove.ring.reliable import prove_reliable_consumers
from tools.prove.ring.segments import (
    prove_attach_changes_nothing,
    prove_baits_are_refused,
    prove_creation_is_whole,
    prove_orphans_notice,
    prove_space_is_real,
)
from tools.prove.ring.signals import prove_cold_starts, prove_signals_are_served
from tools.prove.ring.sleepers import prove_dead_readers_harm_nobody, prove_no_wakeup_is_lost
from tools.rig.outcome import Outcome, Progress, say_nothing

Proof = Callable[[], Outcome]


def ring_proofs(seed: int, *, deep: bool = False, progress: Progress = say_nothing) -> dict[str, Proof]:
    """Every proof by name.  `deep` takes an hour where the suite takes minutes; its longest part calls `progress`."""
    more = 10 if deep else 1
    return {
        "kills": partial(prove_kills, 1000 * more, seed),
        "crash images": partial(prove_crash_images, seed),
        "schedules": partial(prove_schedules, seed, deep=deep, progress=progress if deep else say_nothing),
        "mutants": partial(prove_mutants_are_caught, seed),
        "races": partial(prove_races, 100_000_000 * more, seed),
        "payloads": partial(prove_payloads_cannot_lie, 500 * more, seed),
        "laps": partial(prove_exact_laps, seed),
        "one writer": prove_one_writer,
        "short restart": partial(prove_short_restart, 50 * more, seed),
        "dead readers": partial(prove_dead_readers_harm_nobody, 1000 * more),
        "wake-ups": partial(prove_no_wakeup_is_lost, 100_000 * more),
        "reliable": prove_reliable_consumers,
        "orphans": prove_orphans_notice,
        "compiled code": prove_compiled_code,
        "baits": prove_baits_are_refused,
        "space": prove_space_is_real,
        "creation": prove_creation_is_whole,
        "attach": prove_attach_changes_nothing,
        "leaks": partial(prove_nothing_leaks, 10_000 * more),
        "damage": partial(prove_damage_is_survived, 100_000 * more, seed),
        "cold starts": partial(prove_cold_starts, 8, 50 if deep else 3),
        "signals": partial(prove_signals_are_served, 5 * more),
    }
