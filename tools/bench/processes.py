"""The processes of benchmarks: begun by a server that has imported what they need, and has nothing else.

Owns the way in which they begin.  A process that imports all for itself takes a second before it does anything, of
which a run of all benchmarks has some fifty; one that the server forks takes 10 ms.  It is not forked from the process
that measures: it would share that one's maps of rings and its compiled code.
"""

from __future__ import annotations

import multiprocessing

SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["tools.bench.relay", "tools.bench.ring.topologies", "tools.bench.journal"])
