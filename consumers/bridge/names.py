"""Names that NATS takes, checked before it is asked: it answers a wrong one with a closed connection."""

from __future__ import annotations

import re

from tlv.errors import UsageError

NAME = re.compile(r"[^\s.*>/\\]{1,255}")
"""Streams and durables become the server's file names."""
TOKEN = re.compile(r"[^\s.*>]+")


def check_name(option: str, name: str) -> None:
    """See that `name` can be a stream or a durable.

    Raises:
        UsageError: it cannot.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{option}: expected a name without spaces, dots, slashes, * and >, found {name!r}")


def check_subject(subject: str) -> None:
    """See that one sender's messages can go to `subject`.

    Raises:
        UsageError: empty parts, spaces, or wildcards.
    """
    if not all(TOKEN.fullmatch(token) for token in subject.split(".")):
        raise UsageError(f"--subject: expected words with dots between them, without * and >, found {subject!r}")
