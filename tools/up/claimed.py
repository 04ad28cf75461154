"""What other `up`s of this user have at this moment, so that a copy of a configuration does not meet the first.

Owns the comparison.  The locks of rings, journals and sockets refuse a second process in any case; here it is told
before anything starts or is removed, and by whose file.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from tlv.errors import AlphaPulseError
from tools.command.checking import effective
from tools.command.claims import Claim, claims_of
from tools.command.config import Configuration, load_config
from tools.up.run_directory import AlreadyUp, RunDirectory


def require_unclaimed(config: Path, configuration: Configuration) -> None:
    """Raise AlreadyUp if a process of another `up` has what one of this configuration would have."""
    others = claimed_by_others(RunDirectory.of(config))
    ours = claims_by_process(configuration)
    wrong = [f"{ours[one]}: {one.kind} {one.what} is that of {others[one]}" for one in ours if one in others]
    if wrong:
        raise AlreadyUp(f"config {config}: " + "\n  ".join(wrong))


def claimed_by_others(place: RunDirectory) -> dict[Claim, str]:
    """What the processes of every `up` but that of `place` have, and who that is."""
    found: dict[Claim, str] = {}
    for other in RunDirectory.all():
        who = other.who()
        if who is None or other.directory == place.directory or not other.is_held():
            continue
        with contextlib.suppress(AlphaPulseError):  # settings of another version
            for claim, name in claims_by_process(load_config(other.settings, {})).items():
                found[claim] = f"{name} of {who.config}, which is up: supervisor pid {who.pid}, since {who.began}"
    return found


def claims_by_process(configuration: Configuration) -> dict[Claim, str]:
    """What the processes of a configuration without mistakes have, each with the process; a standby has nothing yet."""
    found: dict[Claim, str] = {}
    for name, one in configuration.processes.items():
        options = effective(one)
        if not options.get("standby"):
            found |= dict.fromkeys(claims_of(one.command, options), name)
    return found
