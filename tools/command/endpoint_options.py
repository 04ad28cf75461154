"""Options for a node's endpoints: their defaults, and the checks of a URL, which quote no key.

Owns the defaults that `alphapulse doctor` and `alphapulse validate` take from the collector's configuration.  It opens
no connection.  `producers.node.redaction` decides what of a URL may be shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import click

from tlv.errors import UsageError

PORTS = range(1, 1 << 16)
PLACEHOLDER = re.compile(
    r"<.*>|\$?\{.*\}|\$\w+|%\w+%|\.{3}|(your|my)\W?.*(key|token|secret|id)|(api|access)[-_]?(key|token)|change\W?me|x{4,}",
    re.IGNORECASE,
)
"""What stands in a provider's example where the key belongs."""


def configured(key: str) -> Callable[[], Any]:
    """The collector's setting `key`, from file or environment, as the default of an option of another command."""

    def default() -> Any:
        context = click.get_current_context(silent=True)
        settings = context.find_root().default_map if context is not None else None
        return dict((settings or {}).get("collect", {})).get(key)

    return default


def checked_websocket(url: str) -> str:
    """`url`, if a collector could connect to it.

    Raises:
        UsageError: it could not; the message quotes nothing beyond the scheme.
    """
    return _checked(url, ("ws", "wss"))


def checked_http(url: str) -> str:
    """`url`, if JSON-RPC could be posted to it.

    Raises:
        UsageError: it could not.
    """
    return _checked(url, ("http", "https"))


def http_url_of(websocket_url: str) -> str:
    """The URL at which most nodes answer HTTP: the same address with the other scheme."""
    parts = urlsplit(websocket_url)
    return urlunsplit(parts._replace(scheme={"ws": "http", "wss": "https"}[parts.scheme]))


def _checked(url: str, schemes: tuple[str, str]) -> str:
    wanted = f"expected a {schemes[0]}:// or {schemes[1]}:// URL with a host"
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise UsageError(f"{wanted}, found one with a space or a line end in it")
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or parts.port in PORTS
    except ValueError:
        raise UsageError(f"{wanted}, found one that cannot be read") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(f"{wanted}, found one that begins with {url[:5]!r}")
    if not port_is_good:
        raise UsageError(f"{wanted}, found a port that is none")
    pieces = (*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)), parts.username, parts.password)
    if any(piece and PLACEHOLDER.fullmatch(piece) for piece in pieces):
        raise UsageError("expected the key that the provider gave you, found the placeholder of an example in the URL")
    return url
