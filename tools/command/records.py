"""`--records FILE`: records of a user's own, for commands that show or select messages.

Owns reading the file; `tlv.user_records` parses it.  Instead of such a file the strategy that emits them may be named.
"""

from __future__ import annotations

from pathlib import Path

import click

from tlv.errors import UsageError
from tlv.user_records import register_records


def load_records(path: Path) -> None:
    """Register the records that the file, or the strategy, declares.

    Raises:
        UsageError: it cannot be read, or a declaration is refused; the message names the file.
    """
    if ":" in str(path) or path.suffix == ".py":
        from consumers.loading import load_records as load_records_of

        load_records_of(str(path))
        return
    where = f"records {path}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{where}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: not UTF-8 at byte {error.start}") from None
    register_records(text, where)


def _load_all(_context: click.Context, _parameter: click.Parameter, paths: tuple[Path, ...]) -> None:
    for path in paths:
        load_records(path)


records_option = click.option(
    "--records",
    multiple=True,
    type=click.Path(path_type=Path),
    callback=_load_all,
    expose_value=False,
    help="TOML file that declares records of your own, types 200 to 254, or a strategy that does, file.py:Class "
    "(repeatable).",
)
