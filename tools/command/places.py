"""The directory of this user's running processes: sockets, and what demos and `alphapulse up` keep while they run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tlv.user_cache import make_private

PURPOSE = "run-time directory"


def places() -> Path:
    """The directory, made if it is not there: 0700 and ours."""
    return make_private(where(), PURPOSE)


def where() -> Path:
    """`$XDG_RUNTIME_DIR/alphapulse`, or `alphapulse-<uid>` in the temporary directory."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute() and runtime.is_dir():
        return runtime / "alphapulse"
    return Path(tempfile.gettempdir()) / f"alphapulse-{os.getuid()}"
