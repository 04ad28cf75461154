"""The smallest world in which a seed still fails: fault kinds switched off, blocks cut away, one after the other."""

from __future__ import annotations

from tools.prove.world.run import WorldRun, run_world

FEWEST_BLOCKS = 4


def shrink(failed: WorldRun) -> WorldRun:
    """The same seed with as few kinds and blocks as it still fails with, its history included.

    Each kind has its own random numbers, so what is switched off changes nothing else; any failure counts.
    """
    smallest = failed
    for kind in sorted(failed.kinds):
        attempt = run_world(failed.seed, smallest.kinds - {kind}, smallest.blocks)
        if not attempt.passed:
            smallest = attempt
    blocks = smallest.blocks // 2
    while blocks >= FEWEST_BLOCKS:
        attempt = run_world(failed.seed, smallest.kinds, blocks)
        if not attempt.passed:
            smallest, blocks = attempt, blocks // 2
        elif blocks < smallest.blocks * 3 // 4:
            blocks = (blocks + smallest.blocks) // 2
        else:
            break
    return run_world(failed.seed, smallest.kinds, smallest.blocks, trace=True)
