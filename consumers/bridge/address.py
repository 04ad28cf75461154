"""Where a NATS server is and who we are there, read from what a user gave.

Owns the parsing of server addresses and the secrets in them.  It opens no connection and reads no file.

    [nats:// | tls://][USER:PASSWORD@ | TOKEN@]HOST[:PORT][,...]

Everything up to the last `@` is the user's, so that a password may hold any character; percent escapes are decoded.  A
text that is no address is refused without being repeated: it may hold a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from tlv.errors import UsageError

DEFAULT_PORT = 4222
SCHEMES = ("nats", "tls")
HOST = re.compile(r"\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+")
SHORTEST_SECRET = 4
"""Hiding a shorter one would garble every text."""
HIDDEN = "[hidden]"


class Address(NamedTuple):
    """One server, without credentials."""

    scheme: str
    host: str
    port: int

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """For the client library."""
        return f"{self.scheme}://{self.shown}"


@dataclass(frozen=True)
class Access:
    """The servers of one broker, any of which will do, and how we identify ourselves to them."""

    addresses: tuple[Address, ...]
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    creds: Path | None = None
    """A file with a user's JWT and the seed of its key."""
    nkey: Path | None = None
    """A file with the seed of a key."""
    tls_ca: Path | None = None
    """Certificates that are trusted instead of the system's."""
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def shown(self) -> str:
        """The servers, for people."""
        return ", ".join(address.shown for address in self.addresses)

    def without_secrets(self, text: str) -> str:
        """`text` without password and token: a server or a library may repeat what it was given."""
        for secret in sorted((self.password, self.token), key=len, reverse=True):
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, HIDDEN)
        return text


def parse_access(
    servers: str,
    *,
    creds: Path | None = None,
    nkey: Path | None = None,
    tls_ca: Path | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
) -> Access:
    """Read `--server`, one address or several with commas between them.

    Raises:
        UsageError: no address, or several ways to identify ourselves.
    """
    parsed = [_parse_address(text.strip()) for text in _split(servers)]
    given = {credentials for _, credentials in parsed if credentials}
    if len(given) > 1:
        raise UsageError("--server: expected the same credentials for every server, found different ones")
    credentials = given.pop() if given else ""
    if bool(credentials) + bool(creds) + bool(nkey) > 1:
        raise UsageError("expected one of: credentials in --server, --creds, --nkey; found several")
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key: expected both or neither, found one")
    user, is_pair, password = credentials.partition(":")
    if is_pair and not user:
        raise UsageError("--server: expected a user before the colon, found none")
    addresses = tuple(address for address, _ in parsed)
    return Access(
        addresses,
        user=unquote(user) if is_pair else "",
        password=unquote(password),
        token="" if is_pair else unquote(user),
        creds=creds,
        nkey=nkey,
        tls_ca=tls_ca,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )


def _split(servers: str) -> list[str]:
    """At the commas outside of credentials: a comma in a password is followed by an `@` before the next address."""
    parts: list[str] = []
    for part in servers.split(","):
        if parts and "@" in part and "://" not in part and ("@" not in parts[-1]) and "://" in parts[-1]:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


def _parse_address(text: str) -> tuple[Address, str]:
    """An address and its credentials as they stand there."""
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme:
        scheme, rest = "nats", text
    if scheme not in SCHEMES:
        raise UsageError("--server: expected nats:// or tls://, found another scheme")
    credentials, _, place = rest.rpartition("@")
    place = place.removesuffix("/")
    host = HOST.match(place)
    port = place[host.end() :] if host else ""
    if host is None or not re.fullmatch(r"(:\d{1,5})?", port) or not 0 < int(port[1:] or DEFAULT_PORT) < 1 << 16:
        raise UsageError(
            "--server: expected HOST[:PORT], before it nats:// or tls:// and USER:PASSWORD@ if they are needed; found "
            "something that cannot be read as that (it is not repeated here: it may hold a password)"
        )
    return Address(scheme, host.group(), int(port[1:] or DEFAULT_PORT)), credentials
