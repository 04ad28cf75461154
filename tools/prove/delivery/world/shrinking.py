"""The smallest world in which a seed still breaks a rule: kinds switched off, moves cut away, one after the other."""

from __future__ import annotations

from tools.prove.delivery.world.run import DeliveryRun, run_delivery

FEWEST_MOVES = 5


def shrink_delivery(failed: DeliveryRun) -> DeliveryRun:
    """The same seed with as few kinds and moves as it still fails with, its history included."""
    smallest = failed
    for kind in sorted(failed.kinds):
        without = run_delivery(failed.seed, smallest.kinds - {kind}, smallest.moves)
        smallest = smallest if without.passed else without
    step = smallest.moves // 2
    while step >= 1:
        moves = smallest.moves - step
        attempt = run_delivery(failed.seed, smallest.kinds, moves) if moves >= FEWEST_MOVES else None
        if attempt is not None and not attempt.passed:
            smallest = attempt
        else:
            step //= 2
    return run_delivery(failed.seed, smallest.kinds, smallest.moves, trace=True)
