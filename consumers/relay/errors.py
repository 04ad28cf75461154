"""The errors between a relay and its clients.

RelayError
|-- SocketRefused       the socket's directory is not ours alone, its path too long, or another relay serves there
|-- RelayUnreachable    a client finds no relay at the path
`-- Farewell            the relay ended the connection; `reason` is its FarewellReason, `final` says what to do
"""

from __future__ import annotations

import errno

from consumers.relay.refusals import is_final, number_of
from tlv.codes import FarewellReason
from tlv.errors import AlphaPulseError

U64 = (1 << 64) - 1
"""Mask that shows the signed fields of a Farewell as the unsigned digests that they may hold."""

ADVICE = "; the relay expects its own layouts: update whichever of relay and client is the older version"
"""What to do about LAYOUT_DIFFERS."""
OF_THE_SYSTEM = frozenset({FarewellReason.NO_RESOURCES, FarewellReason.CURSOR_REFUSED})
"""Reasons whose `found` is an errno."""


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
        if reason in OF_THE_SYSTEM:
            name += f" ({errno.errorcode.get(found, found)})"
            expected = found
        numbers = f": expected {expected & U64:#x}, found {found & U64:#x}" if expected != found else ""
        advice = ADVICE if reason == FarewellReason.LAYOUT_DIFFERS else ""
        super().__init__(f"the relay ended the connection, {name}{numbers}{advice}")
        self.reason = reason
        self.expected = expected
        self.found = found
        self.final = is_final(reason)


def short_of(error: OSError | MemoryError) -> Farewell:
    """The temporary refusal for a call that failed for a lack of something."""
    return Farewell(FarewellReason.NO_RESOURCES, 0, number_of(error))
