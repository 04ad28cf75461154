"""Traces as a file for Perfetto and chrome://tracing: the JSON object form of the Trace Event Format.

Owns the form and the file.  A trace is a process, each kind of hop a thread of it, since slices of one thread must nest
and hops overlap.  Times are microseconds from the first moment that is drawn, which `otherData` gives: as doubles since
1970 they would be off by a quarter of a microsecond.  What is no latency and what is negative is no slice, but stands
with its nanoseconds in the arguments of the whole.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from tlv.errors import UsageError
from tools.trace.model import Trace, TraceAnswer

US = 1000
WHOLE = "whole"


def check_target(path: Path) -> None:
    """That a file can be put there.

    Raises:
        UsageError: a directory or something else that is no file is there, or the folder is not or may not be written.
    """
    if path.is_dir():
        raise UsageError(f"--chrome {path}: expected a file, found a directory")
    if path.exists() and not path.is_file():
        raise UsageError(f"--chrome {path}: expected a file, found something that cannot be replaced by one")
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"--chrome {path}: there is no directory {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--chrome {path}: no permission to write in {folder}")


def write(path: Path, answer: TraceAnswer) -> None:
    """Write the file; it gets its name when it is whole.

    Raises:
        OSError: the disk refuses it.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(msgspec.json.encode(document(answer)))
        fresh.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def document(answer: TraceAnswer) -> dict[str, Any]:
    """The content of the file."""
    begin_ns = min(
        (moment_of(trace, hop.begin) for trace in answer.traces for hop in trace.hops if hop.drawn), default=0
    )
    events = []
    for number, trace in enumerate(answer.traces, 1):
        events += events_of(trace, number, begin_ns)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {"source": answer.where, "begin_wall_ns": str(begin_ns)},
    }


def events_of(trace: Trace, number: int, begin_ns: int) -> list[dict[str, Any]]:
    """One trace as the process `number`."""
    hops = [hop for hop in trace.hops if hop.drawn]
    title = f"{trace.ring} {trace.sequence} {trace.record}".rstrip()
    events = [
        metadata("process_name", number, 0, {"name": title}),
        metadata("process_sort_index", number, 0, {"sort_index": number}),
    ]
    if hops:
        first = min(moment_of(trace, hop.begin) for hop in hops)
        last = max(moment_of(trace, hop.end) for hop in hops)
        events.append(metadata("thread_name", number, 0, {"name": WHOLE}))
        events.append(slice_of(title, number, 0, first - begin_ns, last - first, whole_arguments(trace)))
    for thread, hop in enumerate(hops, 1):
        begin = moment_of(trace, hop.begin) - begin_ns
        arguments = {"begin": hop.begin, "end": hop.end, "ns": hop.ns, "precision": hop.precision, "note": hop.note}
        events.append(metadata("thread_name", number, thread, {"name": hop.name}))
        events.append(slice_of(hop.name, number, thread, begin, hop.ns, arguments))
    return events


def whole_arguments(trace: Trace) -> dict[str, Any]:
    """What is not drawn."""
    hidden = {hop.name: hop.ns for hop in trace.hops if not hop.drawn}
    return {
        "ring_uuid": trace.ring_uuid,
        "block": trace.block_number,
        "transaction": trace.transaction_hash,
        "log_index": trace.log_index,
        "slowest": trace.slowest,
        "notes": trace.notes,
        "not_drawn_ns": hidden,
    }


def moment_of(trace: Trace, name: str) -> int:
    """When the stamp `name` was."""
    return next(stamp.wall_ns for stamp in trace.stamps if stamp.name == name)


def metadata(name: str, pid: int, tid: int, arguments: dict[str, Any]) -> dict[str, Any]:
    """An event that names a process or a thread."""
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": arguments}


def slice_of(name: str, pid: int, tid: int, begin_ns: int, ns: int, arguments: dict[str, Any]) -> dict[str, Any]:
    """A complete event."""
    times = {"ts": begin_ns / US, "dur": ns / US}
    return {"ph": "X", "name": name, "cat": "alphapulse", "pid": pid, "tid": tid, **times, "args": arguments}
