"""The configuration that `alphapulse init` writes: what a pipeline needs, each key explained, the others as comments.

Owns which processes there are and what they are given.  What each key means, its unit and its default come from the
command's options, so that file, help and reference cannot disagree.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import msgspec

from tools.command.main import COMMANDS
from tools.command.sections import SECTIONS
from tools.config_reference import rows

WIDTH = 116
EXAMPLES = {"text": '"..."', "list of texts": '["..."]'}
"""Of a key without a default."""
SIGNALS = "signal.flash_arbitrage"
HEALTH = "system.anomalies"
EXECUTION = "execution.paper"
RECORDED = ("market.recorded", "signal.recorded", "system.recorded", "execution.recorded")
HEAD = """\
What `alphapulse up` runs: a process for each section below.  A line that begins with # is a comment, or a key with its
default.  `alphapulse config check` finds mistakes, `alphapulse config show` says what each process gets.  Every key can
be set by environment too, as ALPHAPULSE__COLLECTOR__URL; paths begin at this file's folder.  A section that is not
wanted is deleted; several of one kind are tables, as the relays below.  [obs] would serve metrics, [bridge_out] send a
ring to other hosts.
"""

Values = dict[str, Any]


def pipeline(chain: str, ring: str, url: str | None) -> dict[str, Values]:
    """A collector of a chain, and what reads its ring."""
    collector = {"chain": chain, "ring": ring, "state": f"{ring}.state", **({"url": url} if url is not None else {})}
    return {"up": {}, "collector": collector, **readers(ring, SIGNALS, HEALTH, EXECUTION)}


def recorded_pipeline(port: int) -> dict[str, Values]:
    """The same on the bundled recording, served by a node of our own that goes on for ever."""
    ring, signals, health, execution = RECORDED
    node = {"port": port, "speed": "1", "at_end": "loop"}
    return {
        "up": {},
        "node": node,
        "collector": {"ring": ring, "url": f"ws://127.0.0.1:{port}"},
        **readers(ring, signals, health, execution),
    }


def readers(ring: str, signals: str, health: str, execution: str) -> dict[str, Values]:
    """Who reads a ring of a market."""
    return {
        "strategy": {"ring": ring, "signals": signals},
        "execute": {"ring": ring, "signals": [signals], "execution": execution},
        "anomalies": {"ring": ring, "health": health},
        "recorder": {"ring": ring, "out": f"journals/{ring}"},
        "relay.market_data": {"domain": "market_data", "ring": [ring], "journal": [f"journals/{ring}"]},
        "relay.signal": {"domain": "signal", "ring": [signals]},
        "relay.execution": {"domain": "execution", "ring": [execution]},
    }


def configuration_file(processes: Mapping[str, Values]) -> str:
    """The text of the file."""
    lines = comment(HEAD)
    explained: set[str] = set()
    for name, values in processes.items():
        section = name.partition(".")[0]
        about = COMMANDS[SECTIONS[section].command.split()[0]][1]
        lines += ["", *comment(f"{about}  (alphapulse {SECTIONS[section].command} --help)"), f"[{name}]"]
        for row in rows(section):
            if row["key"] in values:
                lines += [*comment(sentence(row)), f"{row['key']} = {as_toml(values[row['key']])}"]
        if section not in explained:
            lines += [line for row in rows(section) if row["key"] not in values for line in unset(row)]
        explained.add(section)
    return "\n".join([*lines, ""])


def unset(row: Mapping[str, Any]) -> list[str]:
    """A key that is left to its default, as comments."""
    shown = EXAMPLES.get(row["kind"], "...") if row["default"] in (None, []) else as_toml(row["default"])
    return [*comment(sentence(row)), f"# {row['key']} = {shown}"]


def sentence(row: Mapping[str, Any]) -> str:
    """What a key means, with its unit."""
    return f"{' '.join(row['meaning'].split())}" + (f"  ({row['unit']})" if row["unit"] else "")


def as_toml(value: Any) -> str:
    """A value as TOML writes it: text, number, bool and lists of text are the same in JSON."""
    return msgspec.json.encode(value).decode()


def comment(text: str) -> list[str]:
    """Text as lines of comment."""
    return textwrap.wrap(" ".join(text.split(" ")), WIDTH, initial_indent="# ", subsequent_indent="# ")
