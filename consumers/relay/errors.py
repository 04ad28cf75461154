"""The errors between a relay and its clients.

RelayError
|-- SocketRefused       the socket's directory is not ours alone, its path too long, or another relay serves there
|-- RelayUnreachable    a client finds no relay at the path
`-- Farewell            the relay ended the connection; `reason` is its FarewellReason
"""

from __future__ import annotations

from tlv.codes import FarewellReason
from tlv.errors import AlphaPulseError

U64 = (1 << 64) - 1
"""Mask that shows the signed fields of a Farewell as the unsigned digests that they may hold."""

ADVICE = "; the relay expects its own layouts: update whichever of relay and client is the older version"
"""What to do about LAYOUT_DIFFERS."""


class RelayError(AlphaPulseError):
    """Relay and client cannot go on."""


class SocketRefused(RelayError):
    """A relay must not or cannot listen at this path."""


class RelayUnreachable(RelayError):
    """No relay listens at this path."""


class Farewell(RelayError):
    """The connection ended by a `tlv.layout.Farewell`: `reason`, and the two numbers that disagree if there are any."""

    def __init__(self, reason: int, expected: int = 0, found: int = 0) -> None:
        try:
            name = FarewellReason(reason).name.lower().replace("_", " ")
        except ValueError:
            name = f"reason {reason}"
        numbers = f": expected {expected & U64:#x}, found {found & U64:#x}" if expected != found else ""
        advice = ADVICE if reason == FarewellReason.LAYOUT_DIFFERS else ""
        super().__init__(f"the relay ended the connection, {name}{numbers}{advice}")
        self.reason = reason
        self.expected = expected
        self.found = found
