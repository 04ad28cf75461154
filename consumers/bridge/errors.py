"""What the bridge raises: the broker's side of the error tree.

BridgeError             the broker could not be used; told, and tried again
|-- ApiError            JetStream answered with an error
|-- SequenceConflict    the stream's end is not where we left it; where to go on is asked anew
`-- BridgeRefused       somebody else does what we were asked to do; ends the bridge
LayoutDiffers           another version of the wire format; ends the bridge
"""

from __future__ import annotations

from tlv.errors import AlphaPulseError


class BridgeError(AlphaPulseError):
    """The broker could not be used: unreachable, refusing, full, or not as it was."""


class ApiError(BridgeError):
    """JetStream answered a request with an error; `code` is its number."""

    def __init__(self, description: str, code: int) -> None:
        super().__init__(f"{description} (JetStream error {code})")
        self.code = code


class SequenceConflict(BridgeError):
    """A batch was refused since the stream's end is not the one that it was to follow."""


class BridgeRefused(BridgeError):
    """Another sender has the subject, or another receiver the durable."""


class LayoutDiffers(AlphaPulseError):
    """A batch of another version of the wire format.  Waiting does not help, so the bridge ends; nothing of the batch
    is acknowledged."""
