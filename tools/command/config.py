"""Configuration: one TOML file, overridden by the environment, validated, handed to the commands as their defaults.

Owns what a file means.  `[relay]` has the keys of `alphapulse relay`; a table in it, `[relay.signal]`, is one relay of
several, which takes from `[relay]` what it does not say itself.  `alphapulse up` runs a process for each such table,
or one for a section without any.  The environment sets keys and starts nothing: ALPHAPULSE__RELAY__PATIENCE for all,
ALPHAPULSE__RELAY__SIGNAL__PATIENCE for one.  A relative path in the file begins at the file's folder.  An error names
the key's whole path and never its value: an endpoint's URL holds an access key.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tlv.errors import UsageError
from tlv.nearest import did_you_mean
from tools.command.environment import Variable, variables
from tools.command.sections import SECTIONS, is_path
from tools.command.toml_file import divide, read_toml

UNKNOWN_KEY = "Object contains unknown field "


@dataclass(frozen=True)
class Settings:
    """Values of a section or of one process, and where each comes from: `file`, or a variable's name."""

    section: str
    name: str
    """`relay`, or `relay.signal`."""
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """What is configured: `relay`, `bridge out`."""
        return SECTIONS[self.section].command

    def over(self, general: Settings) -> Settings:
        """These, and what only `general` says."""
        return Settings(self.section, self.name, general.values | self.values, general.origins | self.origins)


@dataclass(frozen=True)
class Configuration:
    """A file and an environment, read and found right."""

    path: Path | None
    sections: dict[str, Settings]
    processes: dict[str, Settings]
    """What `alphapulse up` runs, by name, in the order of the file."""

    def settings(self, process: str | None) -> dict[str, dict[str, Any]]:
        """Defaults of each command (`collect`, `bridge out`); those of `process` for its own command.

        Raises:
            UsageError: there is no such process.
        """
        found = {settings.command: settings.values for settings in self.sections.values()}
        if process is not None:
            one = self.process(process)
            found[one.command] = one.values
        return found

    def process(self, name: str) -> Settings:
        """One process.

        Raises:
            UsageError: there is none of this name.
        """
        if name not in self.processes:
            there = ", ".join(self.processes) or "none"
            raise UsageError(
                f"no process {name!r} in the configuration{did_you_mean(name, self.processes)} (there: {there})"
            )
        return self.processes[name]


def load_config(path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """What the file at `path` (if any) and the environment say.

    Raises:
        UsageError: the file cannot be read or is no TOML, or a key is unknown or of another type.
    """
    origin = f"config {path}"
    general, single = divide(read_toml(path), origin) if path else ({}, {})
    found = variables(environment, single if path else None)
    folder = path.absolute().parent if path else Path()
    sections = {
        section: settings_of(section, "", resolved(general.get(section, {}), folder), found, origin)
        for section in [*general, *(one.section for one in found if one.section not in general and not one.process)]
    }
    processes = {}
    for section, tables in single.items():
        if SECTIONS[section].runs and not tables:
            processes[section] = sections[section]
        for process, values in tables.items():
            own = settings_of(section, process, resolved(values, folder), found, origin)
            processes[own.name] = own.over(sections[section])
    return Configuration(path, sections, processes)


def settings_of(section: str, process: str, values: dict[str, Any], found: list[Variable], origin: str) -> Settings:
    """What a table of the file says, overridden by the variables that are meant for it.

    Raises:
        UsageError: a key is unknown or of another type.
    """
    name = f"{section}.{process}" if process else section
    kept = checked(section, name, values, f"{origin}: ", strict=True)
    origins = dict.fromkeys(kept, "file")
    for one in found:
        if (one.section, one.process) == (section, process):
            value = one.value.split(",") if takes_list(section, one.key) else one.value
            kept |= resolved(checked(section, one.name, {one.key: value}, "", strict=False), Path.cwd())
            origins[one.key] = one.name
    return Settings(section, name, kept, origins)


def resolved(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The values of a file in `folder`; a relative path in it begins there."""
    return {key: path_of(key, value, folder) for key, value in values.items()}


def path_of(key: str, value: Any, folder: Path) -> Any:
    """The value of a key, absolute if it is a path."""
    if isinstance(value, list):
        return [path_of(key, one, folder) for one in value]
    return str(folder / value) if isinstance(value, str) and is_path(key, value) else value


def takes_list(section: str, key: str) -> bool:
    """Whether the key has several values; a variable has them with commas between."""
    hint = typing.get_type_hints(SECTIONS[section].keys)[key]
    return any(typing.get_origin(choice) is list for choice in typing.get_args(hint))


def checked(section: str, place: str, values: dict[str, Any], origin: str, *, strict: bool) -> dict[str, Any]:
    """The values as their keys have them.  `strict`: text is no number.

    Raises:
        UsageError: a key is unknown, or a value of another type; named as `place` and its key.
    """
    keys = SECTIONS[section].keys
    try:
        found: dict[str, Any] = msgspec.to_builtins(msgspec.convert(values, keys, strict=strict))
    except msgspec.ValidationError as error:
        text, _, path = str(error).replace("`", "").partition(" - at $")
        if not text.startswith(UNKNOWN_KEY):
            raise UsageError(f"{origin}{place if not strict else place + path}: {text}") from None
        key = text.removeprefix(UNKNOWN_KEY)
        raise UsageError(f"{origin}{place}.{key}: unknown key{elsewhere(section, key)}") from None
    return found


def elsewhere(section: str, key: str) -> str:
    """What a key that the section does not have may be meant for."""
    others = [f"[{other}]" for other, kind in SECTIONS.items() if key in kind.keys.__struct_fields__]
    if others:
        return f"; it is one of {', '.join(others)}"
    return did_you_mean(key, SECTIONS[section].keys.__struct_fields__)


def nested(defaults: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The same in click's form of `default_map`: a subcommand's defaults are in a table within its group's."""
    tree: dict[str, Any] = {}
    for command, values in defaults.items():
        *groups, name = command.split()
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = values
    return tree
