"""`alphapulse trace --otlp` against a receiver that decodes what comes with OpenTelemetry's own protobuf, and against
servers that are none.  Each URL has a key, which no output may repeat.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ringbuf import Writer
from tests.consumers.recorded_market import Publisher, canonical_events
from tests.consumers.relay_rig import make_ring
from tlv.errors import UsageError
from tools.command.supervisor import child_environment, command_line
from tools.trace.command import command
from tools.trace.otlp import ExportFailed, checked_url

CANARY = "canary4d81b6ce"
PROTOBUF = "application/x-protobuf"
EVENT = "2"
"""The first one in the ring."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def writer(ring_name: str) -> Iterator[Writer]:
    """The ring that is traced."""
    publisher = Publisher()
    publisher.blocks(canonical_events()[:20])
    with make_ring(ring_name) as writer:
        for _, _, data in publisher.frames:
            writer.publish(data)
        yield writer


class Receiver:
    """An HTTP server on loopback: what it answers, and what it was sent."""

    def __init__(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
        self.requests: list[tuple[str, Message, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", "0"))
                receiver.requests.append((self.path, self.headers, self.rfile.read(size)))
                self.send_response(status)
                for name, text in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Keep still."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Where it is, with a key in each place that a URL has."""
        return f"http://user:{CANARY}@127.0.0.1:{self.server.server_port}/otlp/{CANARY}?key={CANARY}"

    def spans(self) -> list[Span]:
        """Everything that it was sent, decoded."""
        found = []
        for _, headers, body in self.requests:
            assert headers["Content-Type"] == PROTOBUF
            request = ExportTraceServiceRequest.FromString(body)
            for part in request.resource_spans:
                named = {pair.key: pair.value.string_value for pair in part.resource.attributes}
                assert named["service.name"] == "alphapulse"
                found += [span for scope in part.scope_spans for span in scope.spans]
        return found


@contextmanager
def receiving(
    status: int = 200, kind: str = PROTOBUF, body: bytes = b"", headers: dict[str, str] | None = None
) -> Iterator[Receiver]:
    """A receiver that runs."""
    receiver = Receiver(status, kind, body, headers or {})
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


def send(writer: Writer, url: str, *arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(command, [*(arguments or (EVENT,)), "--ring", writer.name, "--otlp", url])


def fault(writer: Writer, url: str, *arguments: str) -> str:
    """What the command says went wrong; the key is not in it."""
    done = send(writer, url, *arguments)
    assert isinstance(done.exception, ExportFailed), done.output
    assert CANARY[:6] not in str(done.exception) + done.output
    return str(done.exception)


def test_trace_sent_is_one_trace_with_a_span_for_each_hop_below_the_whole(writer: Writer) -> None:
    with receiving() as receiver:
        done = send(writer, receiver.url)
        assert done.exit_code == 0 and CANARY not in done.output
        first = receiver.spans()
        assert f"{len(first)} spans sent" in done.stderr
        assert send(writer, receiver.url).exit_code == 0
    again = receiver.spans()[len(first) :]
    whole, *hops = first
    assert (whole.name, whole.parent_span_id) == ("PoolSync", b"")
    assert {span.trace_id for span in first} == {whole.trace_id} and len(whole.trace_id) == 16
    assert {span.parent_span_id for span in hops} == {whole.span_id}
    assert len({span.span_id for span in first}) == len(first) > 1
    assert [(span.trace_id, span.span_id) for span in again] == [(span.trace_id, span.span_id) for span in first]
    for span in hops:
        assert whole.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= whole.end_time_unix_nano
    said = {pair.key: pair.value for pair in whole.attributes}
    assert said["alphapulse.sequence"].int_value == 2 and said["alphapulse.ring_uuid"].string_value == writer.uuid.hex()
    path, headers, _ = receiver.requests[0]
    assert path.startswith(f"/otlp/{CANARY}?key=") and headers["Authorization"].startswith("Basic ")


def test_traces_of_two_messages_are_two_traces(writer: Writer) -> None:
    with receiving() as receiver:
        for sequence in ("1", EVENT):
            assert send(writer, receiver.url, sequence).exit_code == 0
        assert len({span.trace_id for span in receiver.spans()}) == 2


def test_traces_that_are_many_are_sent_in_parts(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.trace.otlp.SPANS_PER_REQUEST", 5)
    with receiving() as receiver:
        done = send(writer, receiver.url, "--slowest", "10")
        assert done.exit_code == 0
        assert len(receiver.requests) > 2
        assert f"{len(receiver.spans())} spans sent" in done.stderr


@pytest.mark.parametrize(
    ("status", "kind", "body", "headers", "words"),
    [
        (400, "text/plain", f"bad key {CANARY}".encode(), {}, "it answered HTTP 400: bad key [hidden]"),
        (400, "text/plain", b"x" * 270 + CANARY.encode() * 9, {}, "it answered HTTP 400: xxx"),
        (401, PROTOBUF, Status(code=16, message=f"no {CANARY}").SerializeToString(), {}, "HTTP 401: no [hidden];"),
        (404, "text/html", b"<html>", {}, "it answered HTTP 404; 0 of"),
        (302, "text/html", b"", {"Location": f"http://127.0.0.1:1/{CANARY}"}, "it answered HTTP 302"),
        (503, "text/plain", b"", {"Retry-After": "60"}, "it answered HTTP 503"),
        (200, "text/html", b"<html>", {}, "it answered HTTP 200 and text/html, where an OTLP receiver sends"),
        (200, PROTOBUF, b"\xff\xff\xff", {}, "its answer cannot be read"),
    ],
)
def test_trace_sent_to_who_does_not_take_it_fails_and_says_how(
    writer: Writer, status: int, kind: str, body: bytes, headers: dict[str, str], words: str
) -> None:
    with receiving(status, kind, body, headers) as receiver:
        said = fault(writer, receiver.url)
    assert said.startswith("--otlp 127.0.0.1: ") and words in said
    assert "0 of" in said and "spans were sent before" in said


def test_trace_sent_of_which_a_part_is_rejected_fails(writer: Writer) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=2, error_message=f"quota of {CANARY}")
    body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    with receiving(body=body) as receiver:
        assert "it rejected 2 spans: quota of [hidden]" in fault(writer, receiver.url)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://127.0.0.1/x", "127.0.0.1:4318", "http://", "http://:4318/", "http://host:99999/", "http://[::1"),
        "",
    ],
)
def test_trace_otlp_url_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="expected http://HOST:PORT") as refused:
        checked_url(url.replace("host", CANARY))
    assert CANARY not in str(refused.value)


def test_trace_otlp_url_without_a_path_gets_the_usual_one() -> None:
    assert checked_url("http://127.0.0.1:4318") == "http://127.0.0.1:4318/v1/traces"
    assert checked_url("https://host/?k=1") == "https://host/v1/traces?k=1"
    assert checked_url("https://host/api/otlp") == "https://host/api/otlp"


def test_trace_otlp_without_the_extra_names_it_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.setitem(sys.modules, module, None)
    done = CliRunner().invoke(command, ["1", "--ring", "no.such.ring", "--otlp", "http://127.0.0.1:1"])
    assert isinstance(done.exception, UsageError)
    assert "pip install 'alphapulse[otlp]'" in str(done.exception)


def test_trace_as_a_process_at_debug_with_nobody_there_exits_1_and_says_no_key(writer: Writer, tmp_path: Path) -> None:
    with receiving() as receiver:
        url = receiver.url
    settings = child_environment({"ALPHAPULSE_LOG_LEVEL": "debug", "NO_PROXY": "127.0.0.1"})
    arguments = ["trace", EVENT, "--ring", writer.name, "--otlp", url]
    done = subprocess.run(command_line(arguments), env=settings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "alphapulse: error: --otlp 127.0.0.1: no answer (Connection refused)" in done.stderr
    assert CANARY not in done.stdout + done.stderr and "Traceback" not in done.stderr
