"""Who a process is, for a message about what it holds: its command, since when it runs, and whose it is.

Owns the words.  Of a command line only the program and its command are shown: an option's value may be a secret.
Nothing is decided by what is read here; locks decide.
"""

from __future__ import annotations

import os
import pwd
import re
import time
from pathlib import Path

PROC = Path("/proc")
PROGRAMS = {"alphapulse": "alphapulse", "tools.command.main": "alphapulse", "ringstat": "ringstat"}
COMMAND = re.compile(r"[a-z][a-z-]*")
AFTER_NAME = re.compile(r".*\) ", re.DOTALL)
"""In /proc/PID/stat a name may hold spaces and brackets; 19 fields behind it is the start, in ticks."""
START_FIELD = 19


def describe_process(pid: int) -> str:
    """`process 1234 (alphapulse record, since 2026-11-30T02:11:38Z)`; of another user, also whose it is."""
    if pid <= 0:
        return "process unknown"
    try:
        place = PROC / str(pid)
        words = place.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
        name = place.joinpath("comm").read_text(errors="replace").strip()
        facts = [command_of(words) or name, f"since {began(place)}"]
        owner = place.stat().st_uid
    except (OSError, ValueError, IndexError):
        return f"process {pid} (not to be seen here: it has just ended, or is another container's)"
    if owner != os.getuid():
        facts.append(f"of user {user_name(owner)}")
    return f"process {pid} ({', '.join(facts)})"


def command_of(words: list[str]) -> str:
    """`alphapulse bridge out` of a command line that has it somewhere; else nothing."""
    for place, word in enumerate(words):
        program = PROGRAMS.get(Path(word).name)
        if program is not None:
            behind = [one for one in words[place + 1 :] if not one.startswith("-")]
            return " ".join([program, *(one for one in behind[:1] if COMMAND.fullmatch(one))])
    return ""


def began(place: Path) -> str:
    """When a process was started, in UTC."""
    ticks = int(AFTER_NAME.sub("", place.joinpath("stat").read_text(errors="replace")).split()[START_FIELD])
    booted = next(line for line in PROC.joinpath("stat").read_text().splitlines() if line.startswith("btime "))
    seconds = int(booted.split()[1]) + ticks // os.sysconf("SC_CLK_TCK")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def user_name(uid: int) -> str:
    """A user's name, or the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def locker_of(inode: int) -> int:
    """The pid of who holds a flock on a file, as the kernel lists it; 0 if it does not say."""
    try:
        lines = PROC.joinpath("locks").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        fields = line.split()
        if "FLOCK" in fields and fields[-3].rpartition(":")[2] == str(inode):
            return max(int(fields[-4]), 0)
    return 0
