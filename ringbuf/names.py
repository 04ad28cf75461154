"""From a ring's name to the names of its shared-memory objects.

Owns the naming rule.  It must never open anything.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from ringbuf.errors import BadRingName

FOLDER = Path("/dev/shm")  # where Linux keeps POSIX shared memory
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_.]{0,62}(?:-[a-z0-9_.]+)*")
CONTROL_SUFFIX = "-ctl"
LOCK_SUFFIX = "-lock"
COUNTERS_SUFFIX = "-counters"
SUFFIXES = (CONTROL_SUFFIX, LOCK_SUFFIX, COUNTERS_SUFFIX)


def check_name(name: str) -> str:
    """Return `name`, or raise BadRingName."""
    if not isinstance(name, str) or not is_name(name):
        raise BadRingName(
            f"ring name {name!r}: expected 1 to 63 of a-z, 0-9, dot, underscore and dash, starting with a letter"
            f" and not ending in {' or '.join(SUFFIXES)}"
        )
    return name


def is_name(name: str) -> bool:
    """Whether a ring can be called so."""
    return len(name) <= 63 and NAME_PATTERN.fullmatch(name) is not None and not name.endswith(SUFFIXES)


def object_prefix(uid: int | None = None) -> str:
    """What the names of all objects of a user start with."""
    return f"alphapulse-{os.getuid() if uid is None else uid}-"


def ring_object(name: str, uid: int | None = None) -> str:
    """The POSIX name of the ring itself: header page and data."""
    return f"/{object_prefix(uid)}{check_name(name)}"


def control_object(name: str, uid: int | None = None) -> str:
    """The POSIX name of the control page, which readers write."""
    return ring_object(name, uid) + CONTROL_SUFFIX


def lock_object(name: str, uid: int | None = None) -> str:
    """The POSIX name of the object with the byte locks of writer and consumers."""
    return ring_object(name, uid) + LOCK_SUFFIX


def counters_object(ring: str, role: str, number: int = 1) -> str:
    """The POSIX name of the counters of the `number`-th process that is `role` of a ring."""
    return f"{ring_object(ring)}-{role}{f'.{number}' if number > 1 else ''}{COUNTERS_SUFFIX}"


def ring_of_process(process: str) -> str:
    """The ring, or the domain, in "market-collector": the name of a process' counters.  Roles have no dash."""
    return process.rpartition("-")[0]


def list_objects() -> list[str]:
    """Names of this user's shared-memory objects, without the common start, sorted.

    Any user can put files there that begin so; another's are left out, and those whose names none of ours can have.
    """
    prefix, uid = object_prefix(), os.getuid()
    found: list[str] = []
    with contextlib.suppress(FileNotFoundError), os.scandir(FOLDER) as entries:
        found = sorted(
            entry.name.removeprefix(prefix)
            for entry in entries
            if entry.name.startswith(prefix)
            and NAME_PATTERN.fullmatch(entry.name.removeprefix(prefix))
            and _owner_of(entry) == uid
        )
    return found


def _owner_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_uid
    except FileNotFoundError:  # it was removed just now
        return -1


def list_rings() -> list[str]:
    """Names of this user's rings, finished or not, sorted."""
    return [name for name in list_objects() if is_name(name)]


def list_counters() -> list[str]:
    """POSIX names of this user's counters, of the living and of the dead, sorted."""
    return [f"/{object_prefix()}{name}" for name in list_objects() if name.endswith(COUNTERS_SUFFIX)]


def list_remains() -> list[str]:
    """Names of rings of which only control page or lock exist: a process was killed while it created or unlinked."""
    objects = [name for name in list_objects() if not name.endswith(COUNTERS_SUFFIX)]
    sides = {name.removesuffix(CONTROL_SUFFIX).removesuffix(LOCK_SUFFIX) for name in objects}
    return sorted(name for name in sides - set(objects) if is_name(name))
