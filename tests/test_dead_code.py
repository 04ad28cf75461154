"""No name lives in the packages for tests alone: without a user there it is deleted, or kept for a stated reason."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGES = ("tlv", "ringbuf", "producers", "consumers", "tools")
KEPT = Path(__file__).parent / "kept_code.txt"
FINDING = re.compile(r"^(?P<path>[^:]+):\d+: unused (?P<what>[\w ]+) '(?P<name>\w+)'", re.MULTILINE)


class Unused(NamedTuple):
    """A name that vulture finds no user of."""

    path: str
    what: str
    name: str


class Kept(NamedTuple):
    """A line of the list."""

    path: str
    names: str
    reason: str

    def keeps(self, found: Unused) -> bool:
        """Whether it keeps the name."""
        return found.path == self.path and fnmatchcase(found.name, self.names)


@cache
def unused(*paths: str) -> list[Unused]:
    command = [sys.executable, "-m", "vulture", "--min-confidence", "60", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3) and not done.stderr, done.stderr
    return [Unused(**match.groupdict()) for match in FINDING.finditer(done.stdout)]


def kept() -> list[Kept]:
    lines = [line for line in KEPT.read_text().splitlines() if not line.startswith("#")]
    return [Kept(*line.split(maxsplit=2)) for line in lines]


def unkept(found: list[Unused], lines: list[Kept]) -> list[Unused]:
    """Findings that no line keeps.  Where a field is kept, assigning to it elsewhere is no finding."""
    fields = {one.name for one in found if one.what == "variable" and any(line.keeps(one) for line in lines)}
    return [
        one
        for one in found
        if not any(line.keeps(one) for line in lines) and not (one.what == "attribute" and one.name in fields)
    ]


def test_no_name_is_without_a_user_in_the_packages() -> None:
    assert unkept(unused(*PACKAGES), kept()) == []


def test_every_kept_name_is_one_without_a_user() -> None:
    assert [line for line in kept() if not any(line.keeps(one) for one in unused(*PACKAGES))] == []


def test_name_without_a_user_is_found(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text("def used():\n    pass\n\n\ndef forgotten():\n    pass\n\n\nused()\n")
    found = unused(str(path))
    assert [(one.what, one.name) for one in found] == [("function", "forgotten")]
    assert unkept(found, kept()) == found
