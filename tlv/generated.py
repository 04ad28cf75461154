"""Functions whose text is written for a layout, as `dataclasses` writes an `__init__`.

Owns how a text becomes a function that a traceback and a debugger can show.  It must never see bytes or records.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any


def write_function(name: str, lines: list[str], known: dict[str, Any], of: str) -> Callable[..., Any]:
    """The function `name` that `lines` define, with `known` for its globals; tracebacks name it and `of`."""
    file, text = f"<{name} of {of}>", "\n".join(lines) + "\n"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), known)
    written: Callable[..., Any] = known[name]
    return written
