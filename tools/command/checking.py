"""A configuration held against the commands that it configures: ranges, choices, what must be there.

Owns the mistakes that the kinds of the keys do not show.  It imports the commands, and starts none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from tlv.errors import AlphaPulseError
from tools.command.claims import Claim, claims_of
from tools.command.config import Configuration, Settings
from tools.command.endpoint_options import checked_websocket
from tools.command.lazy import defaults_of, parameter_names
from tools.command.main import group
from tools.command.sections import SECTIONS
from tools.command.stderr_log import without_urls


def command_of(name: str) -> click.Command:
    """The command `bridge out`."""
    found: click.Command = group
    for part in name.split():
        assert isinstance(found, click.Group)
        below = found.get_command(click.Context(found), part)
        assert below is not None, name
        found = below
    return found


def effective(settings: Settings, config: Path | None = None) -> dict[str, Any]:
    """The value of every option of a section's command, by key; `config` is the file, for `up`, which asks for one.

    Raises:
        click.UsageError: an option cannot have its value, or has none and needs one.
    """
    command = command_of(settings.command)
    above = click.Context(group)
    above.params["config"] = config
    defaults = defaults_of(command, settings.values)
    context = command.make_context(settings.command, [], parent=above, default_map=defaults)
    return {key: context.params[name] for key, name in names_of(settings).items()}


def names_of(settings: Settings) -> dict[str, str]:
    """From each key of the section to click's name of the parameter."""
    names = parameter_names(command_of(settings.command))
    return {key: names[key] for key in SECTIONS[settings.section].keys.__struct_fields__}


def mistakes(configuration: Configuration) -> list[str]:
    """What is wrong with each section and process, one line each, by key; no line has a URL's path."""
    found: list[str] = []
    claimed: dict[Claim, Holder] = {}
    sections = [one for name, one in configuration.sections.items() if name not in configuration.processes]
    for settings in [*sections, *configuration.processes.values()]:
        try:
            options = effective(settings, configuration.path)
        except click.MissingParameter as error:
            # What a section leaves out its processes may say.
            if settings in configuration.processes.values():
                found.append(f"{settings.name}.{key_of(settings, error.param)}: missing")
            continue
        except click.UsageError as error:
            param = getattr(error, "param", None)
            found.append(f"{settings.name}.{key_of(settings, param)}: {without_urls(error.message)}")
            continue
        found += [f"{settings.name}.{text}" for text in wrong_urls(settings)]
        if settings.name in configuration.processes:
            found += _clashes(Holder(settings.name, settings.command, bool(options.get("standby"))), options, claimed)
    return found


class Holder(NamedTuple):
    """A process, as far as others may have what it has."""

    name: str
    command: str
    waits: bool
    """It is a standby: it has nothing before another process of its command has ended."""


def _clashes(mine: Holder, options: dict[str, Any], claimed: dict[Claim, Holder]) -> Iterator[str]:
    try:
        claims = claims_of(mine.command, options)
    except AlphaPulseError as error:
        yield f"{mine.name}: {without_urls(str(error))}"
        return
    for claim in claims:
        other = claimed.setdefault(claim, mine)
        if other.command != mine.command or not (other.waits or mine.waits):
            if other is not mine:
                yield f"{mine.name}: {claim.kind} {claim.what} is {other.name}'s already"
        elif not mine.waits:
            claimed[claim] = mine


def all_claims(configuration: Configuration) -> list[Claim]:
    """What the processes of a configuration without mistakes have for themselves."""
    return [claim for one in configuration.processes.values() for claim in claims_of(one.command, effective(one))]


def key_of(settings: Settings, parameter: click.Parameter | None) -> str:
    """The configuration's name of an option."""
    keys = {name: key for key, name in names_of(settings).items()}
    return keys.get(str(parameter.name), "?") if parameter is not None else "?"


def wrong_urls(settings: Settings) -> Iterator[str]:
    """The collector's endpoints that none could connect to."""
    if settings.section != "collector":
        return
    for key in ("url", "fallback", "cross_check"):
        value = settings.values.get(key, [])
        for url in value if isinstance(value, list) else [value]:
            try:
                checked_websocket(url)
            except AlphaPulseError as error:
                yield f"{key}: {error}"
