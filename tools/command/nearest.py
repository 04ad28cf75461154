"""What somebody who misspelt a name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

ALIKE = 0.6
"""Of difflib's ratio; below it a suggestion misleads more often than it helps."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known name that is most like `name`, or nothing."""
    by_form = {_form(one): one for one in known}
    found = difflib.get_close_matches(_form(name), by_form, n=1, cutoff=ALIKE)
    return f"; did you mean {by_form[found[0]]}?" if found else ""


def _form(name: str) -> str:
    """Without what people confuse: case, hyphens, doubled and missing underscores."""
    return name.lower().replace("-", "_").replace("__", "_")
