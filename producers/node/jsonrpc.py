"""JSON-RPC over one WebSocket, without the WebSocket: frames in, requests and notifications out.

Owns request ids, what is still unanswered, and the reading of everything that is not a plain log notification (those
take the fast path in `producers.feed`).  It must never know what a result means, and it never raises for a bad frame:
every one is counted in `rejected` by reason, and what can be saved of it is.

    ask --> queued --(fewer than `max_in_flight`, not paused)--> in flight --+--> answered: `then(result, None)`
              ^                                                              +--> refused:  `then(None, failure)`
              +------------- rate limit, up to 6 times ----------------------+--> too late: `then(None, TIMED_OUT)`

Real nodes send two JSON objects in one frame, arrays of answers, errors that are strings, errors with id -1 for a
subscription they drop: `tests/data/pathologies.jsonl.gz` has each with its source.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from producers.node.meanings import meaning_of
from producers.node.refusals import Meaning
from producers.node.rpc_types import Head, HeadOrNullReader, HeadReader, Log, LogReader, LogsReader, Unfit
from producers.node.timers import Clock
from tlv.units import NS

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes from outside; RecursionError for JSON that is nested thousands deep."""

ERROR_BUDGET = 256
"""Rejections on one connection before it is dropped: beyond that something else than our node is talking."""
MAX_IN_FLIGHT = 64
RATE_LIMIT_RETRIES = 6
FIRST_PAUSE_NS = NS // 2
LONGEST_PAUSE_NS = 16 * NS
LONGEST_RETRY_AFTER_S = 60.0
"""A node that wants to be asked nothing for longer is asked after that; what is pushed meanwhile is taken anyway."""
RETRY_AFTER = re.compile(
    r"(?:retry|try again) (?:in|after) (?:(?P<minutes>\d{1,4})m)?(?:(?P<seconds>\d{1,6}(?:\.\d+)?) ?s)?"
    r"|(?:backoff_seconds|retry[-_]after)\W{1,4}(?P<member>\d{1,6}(?:\.\d+)?)",
    re.IGNORECASE,
)
"""Ankr and polygon-rpc: "retry in 10s", "retry in 10m0s".  Infura: `"data":{"rate":{"backoff_seconds":30,...}}`."""
_CODE = re.compile(r"-?\d{1,9}", re.ASCII)
LONGEST_WORDS = 300
"""Characters of a node's own words that are shown."""
MOST_REMARKS = 256
LARGEST_SPLIT = 1 << 20
"""A frame of several objects is split in plain Python, so not if it is larger than this."""


class Rejection(StrEnum):
    """Why a frame, or a part of one, was not used."""

    NOT_JSON = "not_json"
    NOT_RPC = "not_rpc"
    SEVERAL_OBJECTS = "several_objects"
    """Counted, yet every object in the frame is used."""
    BATCH = "batch"
    """Nobody asked for one.  Counted, yet every element is used."""
    UNKNOWN_ID = "unknown_id"
    UNKNOWN_SUBSCRIPTION = "unknown_subscription"
    BAD_LOG = "bad_log"
    BAD_HEAD = "bad_head"
    SUBSCRIPTION_ENDED = "subscription_ended"


class LogParams(msgspec.Struct, gc=False):
    """What is inside a log notification."""

    subscription: str
    result: Log


class LogNotice(msgspec.Struct, gc=False):
    """A log notification, decoded in one step: 1 us, against 5 us through dicts."""

    params: LogParams


class HeadParams(msgspec.Struct, gc=False):
    """What is inside a head notification."""

    subscription: str
    result: Head


class HeadNotice(msgspec.Struct, gc=False):
    """A head notification, decoded in one step, where it takes four otherwise."""

    params: HeadParams


class Notice(msgspec.Struct):
    """Any notification, its result still text."""

    subscription: str
    result: msgspec.Raw


class _Frame(msgspec.Struct):
    id: int | str | float | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _ErrorObject(msgspec.Struct):
    code: int | float | str | None = None
    message: str | None = None
    data: msgspec.Raw = msgspec.Raw()


class Failure(NamedTuple):
    """A refused, late or abandoned request."""

    code: int | None
    message: str
    method: str = ""
    ranged: bool = False
    """It was an eth_getLogs of several blocks."""

    @property
    def meaning(self) -> Meaning:
        """What follows from it."""
        return (
            Meaning.SIZE if self is TOO_LARGE else meaning_of(self.code, self.message, self.method, ranged=self.ranged)
        )

    @property
    def retry_after_s(self) -> float:
        """For how long the node asks to be left alone; 0 if it does not say."""
        said = RETRY_AFTER.search(self.message)
        if said is None:
            return 0.0
        minutes, seconds, member = (float(number or 0) for number in said.groups())
        return min(60 * minutes + seconds + member, LONGEST_RETRY_AFTER_S)


TIMED_OUT = Failure(None, "no answer in time")
DISCONNECTED = Failure(None, "the connection was lost")
TOO_LARGE = Failure(None, "the answer is larger than a message may be")
"""The connection was lost over it."""


class Remark(NamedTuple):
    """Something that a person should know, once for each endpoint: what it is about, and the words for it."""

    topic: str
    words: str


Then = Callable[[msgspec.Raw | None, Failure | None], None]

LOG_NOTICE = msgspec.json.Decoder(LogNotice)
HEAD_NOTICE = msgspec.json.Decoder(HeadNotice)
LOG = LogReader()
LOGS = LogsReader()
HEAD = HeadReader()
HEAD_OR_NULL = HeadOrNullReader()
TEXT = msgspec.json.Decoder(str)
_NOTICE = msgspec.json.Decoder(Notice)
_FRAME = msgspec.json.Decoder(_Frame)
_FRAMES = msgspec.json.Decoder(list[msgspec.Raw])
_ERROR = msgspec.json.Decoder(_ErrorObject | str | None)


class _Request(msgspec.Struct):
    method: str
    params: list[Any]
    then: Then
    timeout_ns: int
    quiet: bool = False
    refusals: int = 0


class JsonRpc:
    """The client's side of one endpoint.  Survives reconnects: `abandon` ends what the lost connection owed."""

    def __init__(self, clock: Clock | None = None, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self.rejected: Counter[Rejection] = Counter()
        self.answers = 0
        """Requests that were answered with a result, or with a contract's own revert."""
        self.refusals = 0
        """Requests that were answered with any other error."""
        self.timeouts = 0
        """Requests that were not answered in time."""
        self.limited = 0
        """Of the refusals, those for the requests' number: rate or quota."""
        self.unfit: Counter[str] = Counter()
        """Members of logs and headers that could not be read, by what they were."""
        self.refused: Counter[str] = Counter()
        """Refused requests, as "method: meaning"."""
        self.exhausted: str | None = None
        """The words of an endpoint whose quota is used up; None while it is not."""
        self._remarks: dict[str, Remark] = {}
        self._remarked: set[str] = set()
        self.clock = clock or Clock()
        """Set by whoever made it, before each call."""
        self._max_in_flight = max_in_flight
        self._queued: deque[_Request] = deque()
        self._in_flight: dict[int, _Request] = {}
        self._deadlines: list[tuple[int, int]] = []
        self._last_id = 0
        self._pause_ns = FIRST_PAUSE_NS
        self._paused_until_ns = 0

    @property
    def unanswered(self) -> int:
        """Requests that still owe a call of their `then`."""
        return len(self._queued) + len(self._in_flight)

    def ask(
        self,
        method: str,
        params: list[Any],
        then: Then,
        *,
        timeout_s: float = 10.0,
        urgent: bool = False,
        quiet: bool = False,  # a refusal is counted, and nobody need be told
    ) -> None:
        """Queue a request.  `then` is called exactly once, from `read`, `expire` or `abandon`."""
        request = _Request(method, params, then, int(timeout_s * NS), quiet)
        if urgent:
            self._queued.appendleft(request)
        else:
            self._queued.append(request)

    def outgoing(self) -> list[bytes]:
        """The requests to send now."""
        frames, now_ns = [], self.clock.now_ns
        while self._queued and len(self._in_flight) < self._max_in_flight and now_ns >= self._paused_until_ns:
            request = self._queued.popleft()
            self._last_id += 1
            self._in_flight[self._last_id] = request
            heapq.heappush(self._deadlines, (now_ns + request.timeout_ns, self._last_id))
            frames.append(
                msgspec.json.encode(
                    {"jsonrpc": "2.0", "id": self._last_id, "method": request.method, "params": request.params}
                )
            )
        return frames

    def read(self, frame: bytes) -> list[Notice]:
        """Take one frame: answers go to their `then`, notifications are returned."""
        notices: list[Notice] = []
        for part in self._objects(frame):
            self._read_object(part, notices)
        return notices

    def expire(self) -> None:
        """End the requests whose time is over.  Call it whenever the clock was moved on."""
        while self._deadlines and self._deadlines[0][0] <= self.clock.now_ns:
            _, request_id = heapq.heappop(self._deadlines)
            request = self._in_flight.pop(request_id, None)
            if request is not None:
                self.timeouts += 1
                request.then(None, TIMED_OUT)

    @property
    def deadline_ns(self) -> int | None:
        """When `expire` or `outgoing` next has something to do; None = not before the next frame."""
        if self._queued and self._paused_until_ns > self.clock.now_ns:
            return self._paused_until_ns
        return self._deadlines[0][0] if self._deadlines else None

    def abandon(self, *, too_large: bool = False) -> None:
        """The connection is gone: everything unanswered fails now.

        `too_large` if it broke over an answer larger than a message may be: one to an eth_getLogs then.
        """
        asked, queued = list(self._in_flight.values()), list(self._queued)
        self._in_flight.clear()
        self._queued.clear()
        self._deadlines.clear()
        self._paused_until_ns = 0
        self._pause_ns = FIRST_PAUSE_NS
        self.exhausted = None
        self._remarked.clear()
        for request in asked:
            large = too_large and request.method == "eth_getLogs"
            request.then(None, TOO_LARGE if large else DISCONNECTED)
            if large:
                self.refused[f"{request.method}: {Meaning.SIZE}"] += 1
        for request in queued:
            request.then(None, DISCONNECTED)

    def reject(self, reason: Rejection, error: Exception | None = None) -> None:
        """Count something that was not used, and what was wrong with it, if `error` says so."""
        self.rejected[reason] += 1
        if isinstance(error, Unfit):
            self.unfit[f"{reason}: {error}"] += 1
            self.remark(f"{reason}: {error.member}", f"a message cannot be used: {error} ({reason})")

    def read_head(self, result: msgspec.Raw | None) -> Head | None:
        """The header that a request is answered with; None if there is none.  One that cannot be used is counted."""
        try:
            head: Head | None = HEAD_OR_NULL.decode(result or b"null")
        except UNREADABLE as error:
            self.reject(Rejection.BAD_HEAD, error)
            return None
        return head

    def remark(self, topic: str, words: str) -> None:
        """Something to tell a person, once for each connection."""
        if topic not in self._remarked and len(self._remarked) < MOST_REMARKS:
            self._remarked.add(topic)
            self._remarks[topic] = Remark(topic, words)

    def take_remarks(self) -> list[Remark]:
        """What is to be told since the last call."""
        remarks = list(self._remarks.values())
        self._remarks.clear()
        return remarks

    def _objects(self, frame: bytes) -> list[bytes | msgspec.Raw]:
        """The JSON objects of a frame: one, or those of an array, or those that stand after each other."""
        if frame.lstrip()[:1] == b"[":
            self.reject(Rejection.BATCH)
            try:
                return list(_FRAMES.decode(frame))
            except UNREADABLE:
                self.reject(Rejection.NOT_JSON)
                return []
        return [frame]

    def _read_object(self, part: bytes | msgspec.Raw, notices: list[Notice]) -> None:
        try:
            frame = _FRAME.decode(part)
        except UNREADABLE as error:
            several = list(split_objects(bytes(part))) if "trailing characters" in str(error) else []
            if len(several) < 2:
                self.reject(Rejection.NOT_RPC if isinstance(error, msgspec.ValidationError) else Rejection.NOT_JSON)
                return
            self.reject(Rejection.SEVERAL_OBJECTS)
            for single in several:
                self._read_object(single, notices)
            return
        if frame.method == "eth_subscription":
            try:
                notices.append(_NOTICE.decode(frame.params))
            except UNREADABLE:
                self.reject(Rejection.NOT_RPC)
        elif frame.id is not None or frame.error:
            self._answer(frame)
        else:
            self.reject(Rejection.NOT_RPC)

    def _answer(self, frame: _Frame) -> None:
        request = self._in_flight.pop(frame.id, None) if isinstance(frame.id, int) else None
        failure = _failure(frame, request)
        if request is None:
            # publicnode ends a quiet subscription with an error of id -1 (web3.py#3197)
            ended = frame.id == -1 and failure is not None
            if failure is not None and failure.meaning in (Meaning.RATE, Meaning.QUOTA):
                self._note(failure, failure.meaning)
                self._pause(failure)  # meant for all of us; the requests it answers find out by their time-out
            self.reject(Rejection.SUBSCRIPTION_ENDED if ended else Rejection.UNKNOWN_ID)
            return
        if failure is None:
            self.answers += 1
            self._pause_ns = FIRST_PAUSE_NS
            request.then(frame.result, None)
            return
        meaning = failure.meaning
        self._note(failure, meaning, quiet=request.quiet)
        self.answers += meaning is Meaning.REVERT
        self.refusals += meaning is not Meaning.REVERT
        self.limited += meaning in (Meaning.RATE, Meaning.QUOTA)
        if meaning in (Meaning.RATE, Meaning.QUOTA) and request.refusals < RATE_LIMIT_RETRIES:
            request.refusals += 1
            self._pause(failure)
            self._queued.appendleft(request)
        else:
            request.then(None, failure)

    def _note(self, failure: Failure, meaning: Meaning, *, quiet: bool = False) -> None:
        """Count a refusal, and have it told; reverts are a contract's, and no trouble."""
        about = f"{failure.method}: {meaning}"
        self.refused[about] += 1
        if meaning is Meaning.QUOTA:
            self.exhausted = self.exhausted or failure.message[:LONGEST_WORDS]
        if meaning is not Meaning.REVERT and not quiet:
            code = "" if failure.code is None else f" {failure.code}"
            self.remark(about, f"{failure.method} was refused ({meaning}{code}): {failure.message[:LONGEST_WORDS]}")

    def _pause(self, failure: Failure) -> None:
        """Send nothing for a while: as long as the node says, or longer each time.  A wave of refusals is one time."""
        asked_ns = self.clock.now_ns + int(failure.retry_after_s * NS)
        if self.clock.now_ns >= self._paused_until_ns:
            self._paused_until_ns = self.clock.now_ns + self._pause_ns
            self._pause_ns = min(self._pause_ns * 2, LONGEST_PAUSE_NS)
        self._paused_until_ns = max(self._paused_until_ns, asked_ns)


def _failure(frame: _Frame, request: _Request | None) -> Failure | None:
    """What the `error` member says; None if the answer is a result (`null` is one)."""
    method = request.method if request is not None else "nobody's request"
    ranged = request is not None and bool(request.params) and "fromBlock" in _members(request.params[0])
    try:
        error = _ERROR.decode(frame.error) if frame.error else None
    except UNREADABLE:
        return Failure(None, "an error of an unknown form", method, ranged)
    if isinstance(error, str):
        return Failure(None, error, method, ranged)
    if error is None:
        return None if frame.result else Failure(None, "neither result nor error", method, ranged)
    detail = bytes(error.data).decode(errors="replace") if error.data and error.data != b"null" else ""
    return Failure(_code(error.code), f"{error.message or ''} {detail}".strip(), method, ranged)


def _members(parameter: Any) -> dict[str, object]:
    return parameter if isinstance(parameter, dict) else {}


def _code(code: float | str | None) -> int | None:
    if isinstance(code, str):
        return int(code) if _CODE.fullmatch(code) else None
    return int(code) if code is not None else None


def read_head(result: msgspec.Raw | None) -> Head | None:
    """The header that a request is answered with; None if there is none, or none that can be used."""
    try:
        head: Head | None = HEAD_OR_NULL.decode(result or b"null")
    except UNREADABLE:
        return None
    return head


def read_text(result: msgspec.Raw | None) -> str | Failure:
    """The hex text an eth_call is answered with."""
    try:
        return TEXT.decode(result or b"")
    except UNREADABLE:
        return Failure(None, "expected a string as result of eth_call")


def split_objects(text: bytes) -> Iterator[bytes]:
    """The top-level JSON objects that stand one after the other in `text`; nothing if they do not fill it."""
    if len(text) > LARGEST_SPLIT:
        return
    depth = begin = 0
    in_string = escaped = False
    found = []
    for at, byte in enumerate(text):
        if in_string:
            in_string = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string = True
        elif byte == 0x7B:
            depth += 1
            begin = at if depth == 1 else begin
        elif byte == 0x7D:
            depth -= 1
            if depth == 0:
                found.append(text[begin : at + 1])
        elif depth == 0 and byte not in b" \t\r\n":
            return
    if depth == 0 and not in_string:
        yield from found
