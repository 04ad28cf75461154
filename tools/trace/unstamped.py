"""The hops for which no message has a stamp, with what the histograms of running processes say of all messages.

Owns the list.  It reads counters, and changes none.
"""

from __future__ import annotations

from tools.trace.model import Unstamped

NO_STAMP = {
    "node": ("block_time to head: a node stamps neither when it had the block nor when it sent it", ""),
    "loop_late": ("frames that lie in the socket have no stamp until the collector reads them", "collector"),
    "ring_to_client": ("a relay stamps its batches, and keeps no stamp", "relay"),
    "ring_to_journal": ("a journal keeps the publish time, not when it wrote", "recorder"),
}
"""Why, and whose histogram there is."""


def unstamped(ring: str) -> list[Unstamped]:
    """Each of them; those of processes beside `ring`, and of all relays, which serve more than one."""
    from tools.obs.processes import look_at_processes

    processes = look_at_processes()
    beside = {stat.process for stat in processes.stats if stat.alive and (stat.ring == ring or stat.role == "relay")}
    found = []
    for hop, (why, role) in NO_STAMP.items():
        mine = [
            (process, histogram)
            for (process, name), histogram in processes.histograms.items()
            if role and name == hop and process in beside and histogram.count
        ]
        found += [
            Unstamped(hop, why, process, histogram.count, histogram.percentile(0.5), histogram.percentile(0.99))
            for process, histogram in mine
        ] or [Unstamped(hop, why, "", 0, 0, 0)]
    return found
