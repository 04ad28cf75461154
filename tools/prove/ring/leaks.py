"""Row 18: attaching and detaching leaves nothing behind.

Owns the campaign about a reader's footprint.  It runs in a process of its own, because the resident memory of a process
that has done other work before changes by megabytes.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from ringbuf import Reader, Writer
from ringbuf.names import FOLDER
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, resident_bytes

ROOT = Path(__file__).parents[3]
BLOCK = 10_000
SETTLE = 5000  # attaches before the first measurement: until then the allocator takes one more arena of 1 MiB


def footprint() -> list[int]:
    """Descriptors, maps of shared memory, all maps, and resident bytes of this process."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return [descriptors, maps.count(f"{FOLDER}/"), maps.count("\n"), resident_bytes()]


def attach_and_detach(rounds: int) -> None:
    """Attach and detach `rounds` times, and print the footprint before and after every ten thousand."""
    with fresh_name("leaks") as name, Writer.create(name, capacity=1 << 16) as writer:
        writer.publish(b"something")
        measured = []
        for count in (SETTLE, *[BLOCK] * (rounds // BLOCK)):
            for _ in range(count):
                with Reader.attach(name, start="oldest", buffer_bytes=1 << 14) as reader:
                    reader.poll()
            measured.append(footprint())
    json.dump(measured, sys.stdout)


@timed
def prove_nothing_leaks(rounds: int = BLOCK) -> Outcome:
    """Row 18: no descriptor, no map and no memory is left behind.

    A leak of a little memory each time grows from block to block; a new arena of the allocator comes only once.
    """
    command = [sys.executable, "-m", "tools.prove.ring.leaks", str(rounds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    measured = json.loads(ran.stdout)
    fds, rings, maps, _ = (last - first for first, last in zip(measured[0], measured[-1], strict=True))
    resident = [footprint[-1] for footprint in measured]
    rss = statistics.median(after - before for before, after in itertools.pairwise(resident))
    summary = (
        f"{rounds} attaches: fds {fds:+}, maps of rings {rings:+}, all maps {maps:+}, "
        f"RSS {rss / 1024:+.0f} KiB in {BLOCK} of them"
    )
    # The allocator may take a map or two of its own.
    return Outcome(18, "leaks", fds == 0 and rings == 0 and maps <= 2 and rss < 1 << 20, summary)


if __name__ == "__main__":
    attach_and_detach(int(sys.argv[1]))
