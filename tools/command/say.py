"""A command's lines on stdout: text or JSON, flushed at once."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec


def say(line: dict[str, Any], sentence: str, as_json: bool) -> None:
    """Print `line` as a JSON object, or `sentence` as text, and flush."""
    click.echo(msgspec.json.encode(line) if as_json else sentence)
    sys.stdout.flush()
