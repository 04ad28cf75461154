"""The wheel, built and opened: what a stranger gets with `pip install`."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"tlv", "ringbuf", "producers", "consumers", "tools"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = directory.glob("alphapulse-*.whl")
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile, name: str) -> bytes:
    (path,) = (entry for entry in wheel.namelist() if entry.endswith(f".dist-info/{name}"))
    return wheel.read(path)


def test_wheel_holds_the_five_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {entry.partition("/")[0] for entry in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_wheel_packages_are_typed(wheel: zipfile.ZipFile) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel.namelist())


def test_wheel_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    listed = subprocess.run(
        ["git", "ls-files", *sorted(PACKAGES)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    tracked = {line for line in listed.stdout.splitlines() if (ROOT / line).exists()}
    assert tracked
    assert tracked <= set(wheel.namelist())


def test_wheel_holds_the_recording_and_its_provenance(wheel: zipfile.ZipFile) -> None:
    bundled = {entry for entry in wheel.namelist() if entry.startswith("tools/recording/data/")}
    assert {f"tools/recording/data/polygon/recording_2021-04-20_rpc_session{n}.jsonl.gz" for n in (1, 2, 3)} <= bundled
    assert any(entry.endswith("PROVENANCE.md") for entry in bundled)


def test_wheel_holds_the_journal_of_a_market_and_its_provenance(wheel: zipfile.ZipFile) -> None:
    bundled = {entry for entry in wheel.namelist() if entry.startswith("tools/market/data/")}
    assert bundled == {"tools/market/data/PROVENANCE.md", "tools/market/data/journal/segment-00000001.journal.zst"}


def test_wheel_names_licence_commands_and_dependencies(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    described = message_from_bytes(metadata(wheel, "METADATA"))
    assert described["License-Expression"] == "Apache-2.0"
    assert b"Apache License" in metadata(wheel, "licenses/LICENSE")
    required = [entry for entry in described.get_all("Requires-Dist", []) if "extra ==" not in entry]
    assert len(required) == len(project["dependencies"])
    commands = metadata(wheel, "entry_points.txt").decode()
    assert "alphapulse = tools.command.entry:main" in commands
    assert "ringstat = tools.command.entry:ringstat" in commands
