"""What may be said of an endpoint: its host, and never the rest, which may be a key.

Owns the words in which endpoints appear in logs and errors.  It opens no connection.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from websockets.exceptions import InvalidProxy, InvalidStatus, InvalidURI

SHORTEST_SECRET = 6
"""Shorter parts of a URL ("v2", "ws", "rpc") are words, and hiding them would garble every message."""
HIDDEN = "[hidden]"


def host_of(url: str) -> str:
    """The part of a URL that may be shown: everything else, even the port's neighbourhood, can hold a key."""
    return urlsplit(url).hostname or "an endpoint without a host"


def reason_of(error: Exception) -> str:
    """What went wrong, without the URL that some messages repeat."""
    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, InvalidURI):
        return "not a WebSocket URL (expected ws:// or wss://)"
    if isinstance(error, InvalidProxy):
        return "the environment names a proxy that cannot be used"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def without_secrets(text: str, *urls: str) -> str:
    """`text` with every part of a URL beyond its host hidden: nodes repeat keys in their error messages."""
    for url in urls:
        parts = urlsplit(url)
        pieces = re.split(r"[/?&=:@;,#]", f"{parts.path}?{parts.query}#{parts.fragment}")
        pieces += [parts.username or "", parts.password or ""]
        pieces += [unquote(piece) for piece in pieces]
        for piece in sorted(pieces, key=len, reverse=True):
            if len(piece) >= SHORTEST_SECRET:
                text = text.replace(piece, HIDDEN)
    return text


def printable(text: str, *urls: str) -> str:
    """A node's own words for a log: on one line, and without the secrets of these URLs."""
    visible = "".join(letter if letter.isprintable() else " " for letter in text)
    return without_secrets(visible, *urls)
