"""What the bridge raises: the broker's side of the error tree."""

from __future__ import annotations

from tlv.errors import AlphaPulseError


class BridgeError(AlphaPulseError):
    """The broker could not be used: unreachable, refusing, or full."""
