"""What grows in the cost curves, as names, pictures and pages say it.

A curve is named `AXIS: what is measured`; all curves of one axis have one unit, so that they share a picture.
"""

from __future__ import annotations

from typing import NamedTuple


class CurveAxis(NamedTuple):
    """Something that grows."""

    title: str
    x_label: str
    label: str
    """What the picture shows, for who cannot see it."""


AXES = {
    "readers": CurveAxis("Readers of a ring", "readers", "Publishing into a ring and reading from it, over readers."),
    "clients": CurveAxis("Clients of a relay", "clients", "Time of a relay for each message and client, over clients."),
    "pools": CurveAxis("Pools", "pools that are known", "Time of an event in a book of pools, over pools."),
    "journal": CurveAxis("Frames of a journal", "frames", "Time to open, seek and scan a journal, over its frames."),
    "payload": CurveAxis("Payload", "bytes of a payload", "Publishing and reading, over bytes of a payload."),
}
"""By what a curve's name begins with; also the picture's file."""


def axis_of_name(name: str) -> str:
    """The axis of the curve with this name; empty if it is none."""
    axis = name.partition(":")[0]
    return axis if axis in AXES else ""
