"""What the bridge raises: the broker's side of the error tree."""

from __future__ import annotations

from tlv.errors import AlphaPulseError


class BridgeError(AlphaPulseError):
    """The broker could not be used: unreachable, refusing, or full."""


class LayoutDiffers(AlphaPulseError):
    """A batch of another version of the wire format.  Waiting does not help, so the bridge ends; nothing of the batch
    is acknowledged."""
