"""The rows for which targets were set when they were far from them, with what they were then.

Owns the table only; the targets that a run is judged by stand at its readings.
"""

from __future__ import annotations

from typing import NamedTuple


class AskedRow(NamedTuple):
    """A row of the table."""

    reading: str
    """The name of the reading that says what it is now."""
    before: str
    """What was measured when the target was set, beside what it was compared with."""
    target: str


TARGETS = (
    AskedRow("Python to Python, one way p50", "4.15 us; iceoryx2 2.3 us", "<= 0.7 us"),
    AskedRow("Python to Python, one call per frame", "1.06 M/s; pyzmq 1.97 M/s", ">= 5 M/s"),
    AskedRow("Python to Python, in batches", "-", ">= 20 M/s"),
    AskedRow("Writer.publish alone", "1.2-1.3 M/s", ">= 5 M/s"),
    AskedRow("Writer.publish alone, in empty compiled calls", "-", "<= 3 x"),
    AskedRow("typed build of a message", "0.30 M/s", ">= 1.2 M/s"),
    AskedRow("typed parse of a message", "0.26 M/s", ">= 1.6 M/s"),
    AskedRow("events of a Store, typed, one by one", "0.14 M/s; struct and pyarrow 0.44 M/s", ">= 1 M/s"),
    AskedRow("plain strategy, a frame", "13.5 us", "<= 4 us"),
    AskedRow("native publish flat out, one reader", "36-58 M/s; C++ queue 130-190 M/s", ">= 0.6 x C++, same run"),
    AskedRow("native read, one reader", "20-39 M/s; C++ queue 21-33 M/s", ">= 1.0 x C++, same run"),
    AskedRow("CRC-32 of 64 KiB", "1.65 GB/s; zlib 7.1 GB/s", ">= 1.0 x zlib"),
    AskedRow("collector, socket to ring", "64-76 k logs/s, 0.67-0.76 of bare recv", ">= 0.9 x bare recv and parse"),
    AskedRow("receive to ring p99 at 1,000 logs/s", "0.25-0.34 ms", "<= 0.15 ms"),
    AskedRow("relay, one client", "2.0 M/s; bare Unix socket 18.7 M/s", ">= 4 M/s"),
    AskedRow("relay, four clients", "3.5 M/s", ">= 6 M/s"),
    AskedRow("relay, ring to client p50", "-", "<= 15 us"),
    AskedRow("journal append", "2.6 M/s", ">= 5 M/s"),
    AskedRow("journal scan", "4.8 M/s", ">= 12 M/s"),
)
