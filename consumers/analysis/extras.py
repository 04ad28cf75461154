"""Libraries of the extra `analysis`, imported only when they are needed.

Owns the error that says how to install it.
"""

from __future__ import annotations

import importlib
from typing import Any

from tlv.errors import UsageError


def need(name: str) -> Any:
    """The module `name`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name != package:
            raise
        raise UsageError(f"{package} is not installed; it comes with `pip install alphapulse[analysis]`") from None
