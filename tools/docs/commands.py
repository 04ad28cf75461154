"""The reference of the commands, from the commands themselves: a page for each, an entry for each option.

Owns what these pages say.  It imports every command and starts none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from typing import Any

import click

from tools.command.checking import command_of, names_of
from tools.command.config import Settings
from tools.command.environment import PREFIX
from tools.command.every_command import equip
from tools.command.main import COMMANDS, group
from tools.command.sections import SECTIONS
from tools.config_reference import bounds_of, cell, default_of, shown_default
from tools.ringstat import command as ringstat
from tools.ringstat_gc import command as ringstat_gc

VERBATIM = "\b\n"
"""Begins a paragraph that click does not wrap."""
CODE = re.compile(r"(`[^`]+`|(?<![\w-])--[a-z][a-z-]*|\bALPHAPULSE_\w+|\.\.\.__\w+)")
DOCUMENT = re.compile(r"\bdocs/([\w-]+\.md)")
DEFAULT = re.compile(r" *\[default: ([^]]+)\]")
"""What a help text says of a default that only the command knows."""
INTRODUCTION = """\
# Commands

Every command, each with every option. These pages are made from the commands when the site is built, so they say what
`--help` says, and beside it the key and the variable that set an option ([configuration](../../configuration.md)).

An option is given by the command line, else by the environment, else by the file of `--config`. Exit codes are the same
for all commands.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed, or something is unhealthy |
| 2 | the command line or the configuration is wrong |
| 3 | done, but frames were lost (`strategy`, `coverage`) |
| 130 | interrupted |

"""


@cache
def pages() -> dict[str, str]:
    """Every page, by its name below reference/commands."""
    found = {"index.md": index()}
    for name in COMMANDS:
        found[f"{name}.md"] = page(f"alphapulse {name}", command_of(name))
    below = f"## ringstat gc\n\n{body('ringstat gc', equip(ringstat_gc))}"
    found["ringstat.md"] = page("ringstat", equip(ringstat)) + below
    return found


def index() -> str:
    """The list of the commands, and the options of all of them."""
    lines = ["| command | what it does |", "| --- | --- |"]
    lines += [f"| [`alphapulse {name}`]({name}.md) | {cell(text)} |" for name, (_, text) in COMMANDS.items()]
    lines += [f"| [`ringstat`](ringstat.md) | {cell(ringstat.get_short_help_str(limit=200))} |"]
    common = "".join(entries("alphapulse", equip(group)))
    return INTRODUCTION + "\n".join(lines) + "\n\n## Before the command\n\n" + common


def page(path: str, command: click.Command) -> str:
    """The page of a command, its subcommands below it."""
    parts = [f"# {path}\n\n", body(path, command)]
    if isinstance(command, click.Group):
        for name, below in subcommands(command):
            parts += [f"## {path} {name}\n\n", body(f"{path} {name}", below)]
    return "".join(parts)


def subcommands(command: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Names and commands of a group, in its order."""
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None, name
        yield name, below


def body(path: str, command: click.Command) -> str:
    """What a command is for, how it is called, its options."""
    usage = " ".join([path, *command.collect_usage_pieces(click.Context(command))])
    parts = [prose(command.help or ""), f"```text\n{usage}\n```\n\n", *entries(path, command)]
    for paragraph in filter(None, (command.epilog or "").split("\n\n")):
        what, _, line = paragraph.removeprefix(VERBATIM).partition(":")
        parts.append(f"{escaped(what)}:\n\n```text\n{cleandoc(line)}\n```\n\n")
    return "".join(parts)


def prose(text: str) -> str:
    """A help text as paragraphs; what click leaves as it stands is a block of its own."""
    paragraphs = []
    for paragraph in cleandoc(text).split("\n\n"):
        if paragraph.startswith(VERBATIM):
            paragraphs.append("```text\n" + paragraph.removeprefix(VERBATIM) + "\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "".join(f"{escaped(paragraph)}\n\n" for paragraph in paragraphs)


def escaped(text: str) -> str:
    """A text without markup as Markdown: options and variables are code, pages of docs/ are links."""
    if text.startswith("```"):
        return text
    return "".join(code(part) if at % 2 else plain(part) for at, part in enumerate(CODE.split(text)))


def code(text: str) -> str:
    """A name as code."""
    return text if text.startswith("`") else f"`{text}`"


def plain(text: str) -> str:
    """Words as they are, also those that Markdown would take for HTML or emphasis."""
    as_it_is = text.replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return DOCUMENT.sub(r"[\g<0>](../../\1)", as_it_is)


def entries(path: str, command: click.Command) -> Iterator[str]:
    """A heading for each option and argument, so that the search finds it, its meaning, and what else sets it."""
    keys = keys_of(path)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield entry(path, parameter, keys.get(str(parameter.name), []))
        elif isinstance(parameter, click.Argument):
            needed = "must be given" if parameter.required else "may be left out"
            name = parameter.make_metavar(click.Context(command))
            yield f"#### `{name}` {{#{anchor(path, str(parameter.name))}}}\n\nArgument; {needed}.\n\n"


def entry(path: str, option: click.Option, keys: list[str]) -> str:
    """One option."""
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    value = "" if option.is_flag or option.count else f" `{metavar(option)}`"
    text = " ".join((option.help or "").split())
    lines = [f"#### {names}{value} {{#{anchor(path, option.opts[-1].lstrip('-'))}}}\n", escaped(DEFAULT.sub("", text))]
    stated = DEFAULT.search(text)
    facts = [fact for fact in (bounds_of(option), f"default: {stated[1]}" if stated else default(option)) if fact]
    if option.multiple and "repeatable" not in text:
        facts.append("repeatable")
    if option.envvar:
        facts.append(f"environment `{option.envvar}`")
    for key in keys:
        section, _, name = key.partition(".")
        facts.append(f"key `{key}`, environment `{PREFIX}{section.upper()}__{name.upper()}`")
    if facts:
        lines.append("\n" + "; ".join(facts) + "\n{ .facts }")
    return "\n".join(lines) + "\n\n"


def metavar(option: click.Option) -> str:
    """What stands for the value; the choices, where they are, follow in the text."""
    if option.metavar:
        return option.metavar
    return "CHOICE" if isinstance(option.type, click.Choice) else option.type.name.upper().replace(" RANGE", "")


def default(option: click.Option) -> str:
    """What holds without the option."""
    if option.required:
        return "must be given"
    if isinstance(option.show_default, str):
        return f"default: {escaped(option.show_default)}"
    value: Any = default_of(option)
    return "" if value is None or value is False or value == [] else f"default {shown_default(value)}"


def keys_of(path: str) -> dict[str, list[str]]:
    """By click's name of a parameter the keys of the configuration that set it: `collector.url`."""
    name = path.removeprefix("alphapulse ")
    found: dict[str, list[str]] = {}
    for section, kind in SECTIONS.items():
        if kind.command == name:
            for key, parameter in names_of(Settings(section, section)).items():
                found.setdefault(parameter, []).append(f"{section}.{key}")
    return found


def anchor(path: str, parameter: str) -> str:
    """Where an option is: `bridge-out-server`."""
    return "-".join([*path.removeprefix("alphapulse ").split(), parameter.replace("_", "-").lower()])
