"""How much memory this process has for itself alone."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

MAPPING = re.compile(r"(?P<begin>[0-9a-f]+)-(?P<end>[0-9a-f]+) [-rwxsp]{4} ")
KIB = 1 << 10


def private_bytes(shared_at: Collection[int]) -> int:
    """Bytes of pages that no other process maps, by /proc/self/smaps.

    Of the mappings in which the addresses `shared_at` lie only copies count, made where something was written: a page
    of a file that just one process has touched so far is the kernel's cache, dirty or not, and not this process's.
    """
    total, is_shared = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="ascii", errors="replace").splitlines():
        found = MAPPING.match(line)
        if found:
            begin, end = (int(found[name], 16) for name in ("begin", "end"))
            is_shared = any(begin <= address < end for address in shared_at)
        elif line.startswith(("Anonymous:",) if is_shared else ("Private_Dirty:", "Private_Clean:")):
            total += int(line.split()[1]) * KIB
    return total
