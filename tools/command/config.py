"""Configuration: one TOML file, overridden by the environment, validated, handed to the commands as their defaults.

Owns the schema.  A section is named after what runs (`[collector]`), a key after the command's option (`--url`), and
the environment's form of the same key is ALPHAPULSE__COLLECTOR__URL.  An error names the key's whole path and never
its value: an endpoint's URL holds an access key.
"""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tlv.errors import UsageError

PREFIX = "ALPHAPULSE__"
UNKNOWN_KEY = "Object contains unknown field "


class Section(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Base of the sections: every key is optional, and an unknown key is an error."""


class NodeSection(Section):
    """`alphapulse node`"""

    host: str | UnsetType = UNSET
    port: int | UnsetType = UNSET
    speed: str | UnsetType = UNSET
    rate: float | UnsetType = UNSET
    start: str | UnsetType = UNSET
    at_end: str | UnsetType = UNSET
    max_pause: float | UnsetType = UNSET
    chain_id: int | UnsetType = UNSET
    disconnects: int | UnsetType = UNSET
    duplicate: float | UnsetType = UNSET
    reorder: float | UnsetType = UNSET
    seed: int | UnsetType = UNSET


class CollectorSection(Section):
    """`alphapulse collect`"""

    url: str | UnsetType = UNSET
    fallbacks: list[str] | UnsetType = UNSET
    chain: str | UnsetType = UNSET
    ring: str | UnsetType = UNSET
    capacity: int | UnsetType = UNSET
    filter: list[str] | UnsetType = UNSET
    unproven: str | UnsetType = UNSET
    watch_ticks: list[str] | UnsetType = UNSET
    cross_check: str | UnsetType = UNSET
    cross_check_share: float | UnsetType = UNSET
    pool_cache: str | UnsetType = UNSET
    watchdog: float | UnsetType = UNSET
    max_message: int | UnsetType = UNSET
    state: str | UnsetType = UNSET
    ring_lost: str | UnsetType = UNSET


class StrategySection(Section):
    """`alphapulse strategy`"""

    ring: str | UnsetType = UNSET
    reliable: bool | UnsetType = UNSET
    journal: str | UnsetType = UNSET
    follow: bool | UnsetType = UNSET
    signals: str | UnsetType = UNSET
    config: str | UnsetType = UNSET
    start: str | UnsetType = UNSET
    wait: str | UnsetType = UNSET
    gross: bool | UnsetType = UNSET
    wait_for_ring: float | UnsetType = UNSET


class RelaySection(Section):
    """`alphapulse relay`"""

    domain: str | UnsetType = UNSET
    ring: list[str] | UnsetType = UNSET
    socket: str | UnsetType = UNSET
    instance: int | UnsetType = UNSET
    journal: list[str] | UnsetType = UNSET
    cursors: str | UnsetType = UNSET
    patience: float | UnsetType = UNSET
    max_clients: int | UnsetType = UNSET
    wait_for_ring: float | UnsetType = UNSET


class RecorderSection(Section):
    """`alphapulse record`"""

    ring: str | UnsetType = UNSET
    out: str | UnsetType = UNSET
    fsync: str | UnsetType = UNSET
    interval: float | UnsetType = UNSET
    segment_mib: int | UnsetType = UNSET
    retain_mib: int | UnsetType = UNSET
    retain_hours: float | UnsetType = UNSET
    pack: bool | UnsetType = UNSET
    wait_for_ring: float | UnsetType = UNSET


class BridgeSection(Section):
    """What both directions of `alphapulse bridge` take."""

    ring: str | UnsetType = UNSET
    server: str | UnsetType = UNSET
    stream: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET
    creds: str | UnsetType = UNSET
    nkey: str | UnsetType = UNSET
    tls_ca: str | UnsetType = UNSET
    tls_cert: str | UnsetType = UNSET
    tls_key: str | UnsetType = UNSET


class BridgeOutSection(BridgeSection):
    """`alphapulse bridge out`"""

    journal: str | UnsetType = UNSET
    replicas: int | UnsetType = UNSET
    max_mib: int | UnsetType = UNSET
    max_hours: float | UnsetType = UNSET


class BridgeInSection(BridgeSection):
    """`alphapulse bridge in`"""

    durable: str | UnsetType = UNSET
    capacity: int | UnsetType = UNSET


class ObsSection(Section):
    """`alphapulse obs`"""

    host: str | UnsetType = UNSET
    port: int | UnsetType = UNSET
    ring: list[str] | UnsetType = UNSET
    allow_host: list[str] | UnsetType = UNSET
    allow_origin: list[str] | UnsetType = UNSET
    token_file: str | UnsetType = UNSET


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    node: NodeSection | UnsetType = UNSET
    collector: CollectorSection | UnsetType = UNSET
    strategy: StrategySection | UnsetType = UNSET
    relay: RelaySection | UnsetType = UNSET
    recorder: RecorderSection | UnsetType = UNSET
    bridge_out: BridgeOutSection | UnsetType = UNSET
    bridge_in: BridgeInSection | UnsetType = UNSET
    obs: ObsSection | UnsetType = UNSET


COMMAND_OF_SECTION = {
    "node": "node",
    "collector": "collect",
    "strategy": "strategy",
    "relay": "relay",
    "recorder": "record",
    "bridge_out": "bridge out",
    "bridge_in": "bridge in",
    "obs": "obs",
}
SECTIONS: dict[str, type[Section]] = {
    "node": NodeSection,
    "collector": CollectorSection,
    "strategy": StrategySection,
    "relay": RelaySection,
    "recorder": RecorderSection,
    "bridge_out": BridgeOutSection,
    "bridge_in": BridgeInSection,
    "obs": ObsSection,
}


def load_config(path: Path | None, environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Defaults of each command ("collect", "bridge out"), from the file at `path` (if any) and the environment.

    Raises:
        UsageError: the file cannot be read or is no TOML, or a key is unknown or of another type.
    """
    origin = f"config {path}" if path else "config from the environment"
    tree: dict[str, Any] = read_toml(path) if path else {}
    for name, value in environment.items():
        if name.startswith(PREFIX):
            set_key(tree, name, value)
    try:
        config = msgspec.convert(tree, Config, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{origin}: {key_path(str(error))}") from None
    sections = msgspec.to_builtins(config)
    return {COMMAND_OF_SECTION[section]: values for section, values in sections.items()}


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


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"config {path}: no TOML: {position(error)}") from None


def position(error: tomllib.TOMLDecodeError | UnicodeDecodeError) -> str:
    """What is wrong and at which position, without quoting the line: it may hold a secret."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error)


def set_key(tree: dict[str, Any], variable: str, value: str) -> None:
    """Put the variable ALPHAPULSE__SECTION__KEY into `tree`; a list is written with commas."""
    section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
    if not key or "__" in key or section not in SECTIONS:
        raise UsageError(f"{variable}: expected {PREFIX}SECTION__KEY with a section of {', '.join(SECTIONS)}")
    hint = typing.get_type_hints(SECTIONS[section]).get(key)
    takes_list = any(typing.get_origin(choice) is list for choice in typing.get_args(hint))
    table = tree.setdefault(section, {})
    if not isinstance(table, dict):
        raise UsageError(f"config: {section}: expected a table")
    table[key] = value.split(",") if takes_list else value


def key_path(message: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.collector.capacity`" with the whole path in front."""
    text, _, path = message.replace("`", "").partition(" - at $")
    keys = [path.removeprefix(".")] if path else []
    if text.startswith(UNKNOWN_KEY):
        return f"{'.'.join([*keys, text.removeprefix(UNKNOWN_KEY)])}: unknown key"
    return ": ".join([*keys, text])
