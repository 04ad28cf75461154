"""The same node over HTTP: how late its head is, and what its clock says.

Owns one blocking JSON-RPC POST; callers run it in a thread.  The proxy of the environment is used, except on loopback.
An error is described without quoting the URL, which may hold a key.
"""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from producers.node.connection import LOOPBACK
from producers.node.errors import EndpointError
from tlv.errors import FeedError

TIMEOUT_S = 4.0
LARGEST_ANSWER = 1 << 16
REQUEST = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
HEADERS = {"content-type": "application/json", "user-agent": "alphapulse"}
"""Some public endpoints refuse the library's own name."""


class _Answer(msgspec.Struct):
    result: str | None = None


class HttpHead(NamedTuple):
    """What one POST of eth_blockNumber told."""

    number: int
    date_s: float | None
    """The server's clock in seconds since 1970, whole seconds; None if it does not say."""


def opener_for(url: str) -> urllib.request.OpenerDirector:
    """How to reach the host of `url`."""
    local = urlsplit(url).hostname in LOOPBACK
    return urllib.request.build_opener(urllib.request.ProxyHandler({} if local else None))


def ask_head(opener: urllib.request.OpenerDirector, url: str) -> HttpHead:
    """The node's head.

    Raises:
        EndpointError: it cannot be had over HTTP.
    """
    host = urlsplit(url).hostname
    try:
        request = request_for(url)
        with opener.open(request, timeout=TIMEOUT_S) as response:
            answer = msgspec.json.decode(response.read(LARGEST_ANSWER), type=_Answer)
            date = response.headers.get("date")
        return HttpHead(int(answer.result or "", 16), seconds_of(date))
    except urllib.error.HTTPError as error:
        raise EndpointError(f"{host} answers HTTP {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        raise EndpointError(f"{host} cannot be reached over HTTP: {reason_of(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise FeedError(f"{host} answers HTTP with something else than a block number") from None


def request_for(url: str) -> urllib.request.Request:
    """The POST.  The library knows no user in a URL, so it becomes the header that a WebSocket client makes of it."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=place)), data=REQUEST, headers=HEADERS)
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    return request


def reason_of(error: OSError | http.client.HTTPException) -> str:
    """What went wrong, in the words of the system and never in those of the URL."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return type(inner).__name__


def seconds_of(date: str | None) -> float | None:
    """An HTTP date as seconds since 1970."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
