"""The README, executed: every shell block and every Python block, in their order, in one scratch directory.

A block marked `live` runs until it has shown an event and is then interrupted, as a reader would.  The ring names and
the port of the tour are replaced by the test's own, so that it meets nobody.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tools.command.main import COMMANDS
from tools.command.ports import free_port
from tools.command.supervisor import child_environment

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)( live)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHARED_MEMORY = Path("/dev/shm")
TOUR = f"test{os.getpid()}.tour"


class Block(NamedTuple):
    """One code block."""

    language: str
    live: bool
    text: str


def blocks() -> list[Block]:
    found = BLOCK.findall((ROOT / "README.md").read_text())
    return [Block(language, bool(live), text) for language, live, text in found]


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A directory that looks like the project's, into which a block may write."""
    with tempfile.TemporaryDirectory(prefix="ap") as directory:
        for entry in ROOT.iterdir():
            (Path(directory) / entry.name).symlink_to(entry)
        yield Path(directory)
    for left in SHARED_MEMORY.glob(f"alphapulse-{os.getuid()}-*.{TOUR}*"):
        left.unlink()


@pytest.fixture(scope="module")
def environment(scratch: Path) -> dict[str, str]:
    """The commands of the environment that runs the tests, and a runtime directory of the test's own."""
    (scratch / "run").mkdir()
    found = child_environment({"XDG_RUNTIME_DIR": str(scratch / "run")})
    del found["ALPHAPULSE_PARENT_PID"], found["PYTHONPATH"]
    return found | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), found["PATH"]])}


@pytest.fixture(scope="module")
def port() -> str:
    return str(free_port())


def own(text: str, port: str) -> str:
    return text.replace("market.tour", f"market.{TOUR}").replace("signal.tour", f"signal.{TOUR}").replace("8546", port)


@pytest.mark.parametrize(
    "block", [block for block in blocks() if not block.live], ids=lambda block: block.text.split("\n")[0]
)
def test_readme_block_runs(block: Block, scratch: Path, environment: dict[str, str], port: str, tmp_path: Path) -> None:
    interpreter = {"sh": ["bash", "-euc"], "python": [sys.executable, "-c"]}[block.language]
    said = tmp_path / "said"
    with said.open("wb") as output:  # no pipe: what a block leaves in the background would hold it open
        process = subprocess.Popen(
            [*interpreter, own(block.text, port)],
            cwd=scratch,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        code = process.wait(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert code == 0, said.read_text()
    assert "Traceback" not in said.read_text()


@pytest.mark.parametrize("block", [block for block in blocks() if block.live], ids=lambda block: block.text.strip())
def test_readme_live_block_shows_events_until_interrupted(block: Block, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        ["bash", "-euc", f"exec {block.text}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("block ") and "events 0 " not in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    said.append(process.communicate(timeout=60)[1])
    assert "stopping ..." in "".join(said), said
    assert "Traceback" not in "".join(said)


def test_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `alphapulse (\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(listed) == set(COMMANDS)


def test_readme_has_no_block_in_another_language() -> None:
    fences = re.findall(r"^```(.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {fence for fence in fences if fence} <= {"sh", "sh live", "python"}
