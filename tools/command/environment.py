"""Settings from the environment: ALPHAPULSE__SECTION__KEY, or ALPHAPULSE__SECTION__NAME__KEY for one process.

Owns the form of these names, and refuses every other variable that begins with ALPHAPULSE_: a misspelt one would
silently do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tlv.errors import UsageError
from tlv.nearest import did_you_mean
from tools.command.parent import PARENT_VARIABLE
from tools.command.sections import SECTIONS

FAMILY = "ALPHAPULSE_"
PREFIX = "ALPHAPULSE__"
CREDENTIALS = "CREDENTIALS_DIRECTORY"
LOG_LEVEL, LOG_FORMAT = "ALPHAPULSE_LOG_LEVEL", "ALPHAPULSE_LOG_FORMAT"
"""Variables and no keys of the configuration, so that every process of a pipeline inherits them."""
OTHERS = (LOG_LEVEL, LOG_FORMAT, PARENT_VARIABLE)


class Variable(NamedTuple):
    """One setting of the environment."""

    name: str
    section: str
    process: str  # of the section; empty for all of them
    key: str
    value: str


def settings_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment`, and what systemd's LoadCredential put into files that are named like our variables.

    A credential is not seen in the process's environment by who may read that; it overrides a variable of its name.

    Raises:
        UsageError: a credential that cannot be read; without it the process would do something else than was meant.
    """
    found = dict(environment)
    folder = environment.get(CREDENTIALS, "")
    if not folder:
        return found
    path = Path(folder)
    try:
        for path in sorted(Path(folder).iterdir()):
            if path.name.startswith(PREFIX):
                found[path.name] = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"{path}: expected a credential, found: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected a credential in UTF-8, found another byte at {error.start}") from None
    return found


def variables(environment: Mapping[str, str], processes: Mapping[str, Iterable[str]] | None) -> list[Variable]:
    """The settings in `environment`; `processes` has the names of each section's processes, if a file was read.

    Raises:
        UsageError: a variable that begins with ALPHAPULSE_ is none of ours; the message never has its value.
    """
    found = []
    for name, value in environment.items():
        if not name.startswith(FAMILY) or name in OTHERS:
            continue
        parts = name.removeprefix(PREFIX).lower().split("__")
        section, key = parts[0], parts[-1]
        process = parts[1] if len(parts) == 3 else ""
        if (
            name.startswith(PREFIX)
            and len(parts) in (2, 3)
            and section in SECTIONS
            and key in SECTIONS[section].keys.__struct_fields__
            and (not process or processes is None or process in processes.get(section, ()))
        ):
            found.append(Variable(name, section, process, key, value))
            continue
        suggestion = did_you_mean(name, known(processes or {}))
        raise UsageError(f"{name}: no setting has this name{suggestion or f'; expected {PREFIX}SECTION__KEY'}")
    return found


def known(processes: Mapping[str, Iterable[str]]) -> list[str]:
    """Every name that is one."""
    names = list(OTHERS)
    for section, kind in SECTIONS.items():
        for process in ("", *processes.get(section, ())):
            place = f"{section}__{process}" if process else section
            names += [f"{PREFIX}{place}__{key}".upper() for key in kind.keys.__struct_fields__]
    return names
