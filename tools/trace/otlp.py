"""Traces as spans to an OpenTelemetry receiver, by OTLP over HTTP.

Owns the ids, the spans, and what an answer means.  Ids follow from ring and sequence, so the same trace sent twice is
one trace to its receiver.  The exporter of OpenTelemetry takes a redirect for success and looks into no answer; so its
session is ours, which remembers what was answered.  No text of it shows more of the URL than the host.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from producers.node.redaction import host_of, printable
from tlv.errors import AlphaPulseError, UsageError
from tools.trace.model import Trace, TraceHop

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

TRACES_PATH = "/v1/traces"
PATIENCE_S = 5.0
"""For one request, its repetitions after a 5xx or a broken connection included."""
SPANS_PER_REQUEST = 512
PROTOBUF = "application/x-protobuf"
PLAIN = ("text/plain", "application/json")
NOISY = ("opentelemetry", "urllib3")
"""Loggers that would repeat the URL's path."""
LONGEST_FAULT = 300
"""Letters of an error, a receiver's own words included."""


class ExportFailed(AlphaPulseError):
    """A receiver did not take all spans."""


def checked_url(url: str) -> str:
    """The URL to send to: as it is, or with the usual path if it has none.

    Raises:
        UsageError: it is none for HTTP.  It may hold a key, so it is not repeated.
    """
    try:
        parts = urlsplit(url)
        fault = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        fault = True
    if fault:
        raise UsageError("--otlp: expected http://HOST:PORT or https://HOST, with the path /v1/traces or another one")
    if parts.path in ("", "/"):
        parts = parts._replace(path=TRACES_PATH)
    return urlunsplit(parts)


def trace_id(ring_uuid: str, sequence: int) -> int:
    """128 bits that name the trace of a frame; never 0."""
    return _id_of(f"{ring_uuid} {sequence}", 16)


def span_id(ring_uuid: str, sequence: int, span: str) -> int:
    """64 bits that name a span of it; never 0."""
    return _id_of(f"{ring_uuid} {sequence} {span}", 8)


def _id_of(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big") or 1


def send(url: str, traces: Sequence[Trace]) -> int:
    """Send the spans of all traces; how many that were.

    Raises:
        ExportFailed: nobody is there, or it did not take them all.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    for name in NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    spans = [span for trace in traces for span in spans_of(trace)]
    session = make_session()
    exporter = OTLPSpanExporter(endpoint=url, timeout=PATIENCE_S, session=session)
    try:
        for first in range(0, len(spans), SPANS_PER_REQUEST):
            part = spans[first : first + SPANS_PER_REQUEST]
            taken = exporter.export(part) is SpanExportResult.SUCCESS
            fault = fault_of(session, taken)
            if fault:
                shown = printable(fault, url)[:LONGEST_FAULT]  # cut behind the redaction: half a key is one, too
                raise ExportFailed(f"--otlp {host_of(url)}: {shown}; {first} of {len(spans)} spans were sent before")
    finally:
        exporter.shutdown()
    return len(spans)


def make_session() -> Any:
    """A session of `requests` that remembers the last answer and the last error."""
    import requests

    class RememberingSession(requests.Session):
        answer: requests.Response | None = None
        error: Exception | None = None

        def request(self, *arguments: Any, **options: Any) -> requests.Response:
            self.answer = self.error = None
            try:
                self.answer = super().request(*arguments, **options)
            except Exception as error:
                self.error = error
                raise
            return self.answer

    return RememberingSession()


def fault_of(session: Any, taken: bool) -> str:
    """What is wrong with the last answer; empty if nothing."""
    if session.answer is None:
        return f"no answer ({cause_of(session.error)})"
    status, body = session.answer.status_code, session.answer.content
    kind = session.answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not 200 <= status < 300:
        words = words_of(kind, body)
        return f"it answered HTTP {status}" + (f": {words}" if words else "")
    if body and kind != PROTOBUF:
        return f"it answered HTTP {status} and {kind or 'bytes of no type'}, where an OTLP receiver sends {PROTOBUF}"
    return rejected(body) or ("" if taken else "the exporter gave up")


def words_of(kind: str, body: bytes) -> str:
    """What a receiver says of an error: a google.rpc.Status, as OTLP has it, or text; empty if neither can be read."""
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status

    if kind in PLAIN:
        return body.decode(errors="replace").strip()
    if kind != PROTOBUF:
        return ""
    try:
        return str(Status.FromString(body).message)
    except DecodeError:
        return ""


def rejected(body: bytes) -> str:
    """What a receiver says that it did not take."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return "its answer cannot be read"
    if not partial.rejected_spans:
        return ""
    return f"it rejected {partial.rejected_spans} spans: {partial.error_message}"


def cause_of(error: BaseException | None) -> str:
    """The system's word, or the kind of error: the text of these errors holds the URL."""
    seen = error
    for _ in range(8):
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen is not None and seen.args else None)
        if not isinstance(inner, BaseException):
            inner = seen.__cause__ or seen.__context__ if seen is not None else None
        if inner is None:
            break
        seen = inner
    return type(seen or error).__name__


def spans_of(trace: Trace) -> list[ReadableSpan]:
    """The trace as a span, and each hop that took time as one below it."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

    moments = {stamp.name: stamp.wall_ns for stamp in trace.stamps}
    hops = [hop for hop in trace.hops if hop.drawn]
    resource = Resource({"service.name": "alphapulse", "alphapulse.ring": trace.ring})

    def context(span: str) -> SpanContext:
        ids = trace_id(trace.ring_uuid, trace.sequence), span_id(trace.ring_uuid, trace.sequence, span)
        return SpanContext(*ids, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def span(hop: TraceHop) -> ReadableSpan:
        attributes = {"alphapulse.precision": hop.precision, "alphapulse.here": hop.here, "alphapulse.note": hop.note}
        return ReadableSpan(
            hop.name,
            context=context(f"{hop.name} {hop.end}"),
            parent=context(""),
            resource=resource,
            attributes=attributes,
            kind=SpanKind.INTERNAL,
            start_time=moments[hop.begin],
            end_time=moments[hop.end],
        )

    whole = ReadableSpan(
        trace.record or trace.what,
        context=context(""),
        resource=resource,
        attributes=attributes_of(trace),
        kind=SpanKind.CONSUMER,
        start_time=min([moments[hop.begin] for hop in hops], default=moments["ring"]),
        end_time=max([moments[hop.end] for hop in hops], default=moments["ring"]),
    )
    return [whole, *map(span, hops)]


def attributes_of(trace: Trace) -> dict[str, Any]:
    """What the span of the whole says."""
    return {
        "alphapulse.ring_uuid": trace.ring_uuid,
        "alphapulse.sequence": trace.sequence,
        "alphapulse.pool": trace.pool,
        "alphapulse.block_number": trace.block_number,
        "alphapulse.block_hash": trace.block_hash,
        "alphapulse.transaction_hash": trace.transaction_hash,
        "alphapulse.log_index": trace.log_index,
        "alphapulse.flags": trace.flags,
        "alphapulse.slowest": trace.slowest,
        "alphapulse.slowest_here": trace.slowest_here,
        "alphapulse.removed_by": trace.removed_by,
        "alphapulse.notes": trace.notes,
    }
