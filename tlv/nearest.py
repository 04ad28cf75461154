"""What somebody who misspelt a name may have meant, and which names there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

ALIKE = 0.6
"""Of difflib's ratio; below it a suggestion misleads more often than it helps."""
MOST_SHOWN = 8
"""Of the names that there are."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known name that is most like `name`, or nothing."""
    by_form = {_form(one): one for one in known}
    found = difflib.get_close_matches(_form(name), by_form, n=1, cutoff=ALIKE)
    return f"; did you mean {by_form[found[0]]}?" if found else ""


def there_are(names: Sequence[str], none: str = "none") -> str:
    """`(there: a, b and 3 more)`, for a message."""
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return f"(there: {', '.join(names[:MOST_SHOWN]) or none}{more})"


def _form(name: str) -> str:
    """Without what people confuse: case, hyphens, doubled and missing underscores."""
    return name.lower().replace("-", "_").replace("__", "_")
