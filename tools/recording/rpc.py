"""The server's side of JSON-RPC 2.0: a text in, a text out.

Owns requests, batches, ids and errors.  It must never know what a method does: `call` answers one, with the JSON
text of its result, or raises `AnswerError`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
SERVER_ERROR = -32000
PRUNED = 4444
REVERTED = 3

MAX_BATCH = 1000  # geth's limit
NO_ID = b"null"

Call = Callable[[str, list[Any]], bytes]


class AnswerError(Exception):
    """A request cannot be answered; becomes the `error` member, never leaves the node."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Request(Struct):
    """One call; without an id it is a notification, which is never answered."""

    method: str
    params: Any = None
    id: str | int | float | UnsetType | None = UNSET


def answer(text: bytes | str, call: Call) -> bytes | None:
    """Answer one JSON-RPC text, single or batch; None if it needs no answer (notifications only)."""
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return _refusal(NO_ID, PARSE_ERROR, f"parse error: {error}")
    if not isinstance(message, list):
        return _answer_one(message, call)
    if not message:
        return _refusal(NO_ID, INVALID_REQUEST, "empty batch")
    if len(message) > MAX_BATCH:
        return _refusal(NO_ID, INVALID_REQUEST, f"batch too large: {len(message)} exceeds {MAX_BATCH}")
    answers = [one for request in message if (one := _answer_one(request, call)) is not None]
    return b"[" + b",".join(answers) + b"]" if answers else None


def _answer_one(message: Any, call: Call) -> bytes | None:
    try:
        request = msgspec.convert(message, Request)
    except msgspec.ValidationError as error:
        return _refusal(NO_ID, INVALID_REQUEST, f"invalid request: {error}")
    silent = request.id is UNSET
    request_id = NO_ID if silent else msgspec.json.encode(request.id)
    params = [] if request.params is None else request.params
    try:
        if not isinstance(params, list):
            raise AnswerError(INVALID_PARAMS, "non-array args")
        result = call(request.method, params)
    except AnswerError as error:
        return None if silent else _refusal(request_id, error.code, error.message)
    return None if silent else b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, result)


def _refusal(request_id: bytes, code: int, message: str) -> bytes:
    error = msgspec.json.encode({"code": code, "message": message})
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, error)
