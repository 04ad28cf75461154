"""Where a user's caches of this project are: compiled kernels, verified pools, packages of the proofs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/alphapulse`, or `~/.cache/alphapulse`."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "alphapulse"
