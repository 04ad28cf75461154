"""What a feed holds: every container that can be reached from it, and how much is in each.

Owns the walk over the objects.  Nothing is listed by hand, so no table can be forgotten: an object's members are
followed, and whatever else the garbage collector says that it refers to.  Code is not: modules, classes and loggers
belong to the process.
"""

from __future__ import annotations

import gc
import logging
from collections import Counter, deque
from collections.abc import Iterator, Sized
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

CODE = (type, ModuleType, logging.Logger)
LEAVES = (str, bytes, int, float, type(None))


def tables(root: object) -> Counter[str]:
    """Entries by table, named as `Chain.blocks`; those of all tables of one name together, `Block.seen` of all blocks.

    What a container holds bears its name and `[]`.  Bytes are no entries: what has grown by these shows in the memory
    of the process only.
    """
    sizes: Counter[str] = Counter()
    seen: dict[int, object] = {}
    """By id, and kept, so that no other object gets the same one."""
    waiting: deque[tuple[str, object]] = deque([("", root)])
    while waiting:
        name, part = waiting.popleft()
        if isinstance(part, LEAVES + CODE) or id(part) in seen:
            continue
        seen[id(part)] = part
        if isinstance(part, Sized) and not (isinstance(part, np.ndarray) and part.dtype == np.uint8):
            sizes[name] += len(part)
        waiting += _parts(name, part)
    return sizes


def _parts(name: str, part: Any) -> Iterator[tuple[str, object]]:
    if isinstance(part, FunctionType):
        for cell in part.__closure__ or ():
            yield name, cell.cell_contents
        return
    owner: Any = type(part)
    if not owner.__module__.startswith("producers."):
        within = name if isinstance(part, tuple) else f"{name}[]"
        for held in gc.get_referents(part):
            yield within, held
        return
    for member in (*_slots(owner), *getattr(part, "__dict__", ())):
        yield f"{owner.__name__}.{member}", getattr(part, member, None)


@cache
def _slots(owner: Any) -> tuple[str, ...]:
    named = [getattr(base, "__slots__", ()) for base in owner.__mro__]
    slots = [name for names in named for name in ((names,) if isinstance(names, str) else names)]
    return (*slots, *getattr(owner, "_fields", ()))
