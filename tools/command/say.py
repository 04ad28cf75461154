"""What a command says on stdout: a sentence for a person or one JSON object a line, at once."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec


def say(line: dict[str, Any], sentence: str, as_json: bool) -> None:
    """One line on stdout, at once."""
    click.echo(msgspec.json.encode(line) if as_json else sentence)
    sys.stdout.flush()
