"""`alphapulse new-strategy`: what it writes runs at once, and what it will not write it says in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.consumers.journal_frames import append, open_writer
from tests.consumers.recorded_market import canonical_frames
from tlv.errors import UsageError
from tools.new_strategy import NATIVE, PLAIN, class_name, command

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("flags", "cls"), [([], "OwnMover"), (["--native"], "OwnMover")])
def test_what_it_writes_runs_on_the_recorded_market(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_ring_name: Callable[[], str], flags: list[str], cls: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, ["own_mover", *flags, "--json"], catch_exceptions=False)
    said = json.loads(done.output)
    assert said == {"file": "own_mover.py", "class": cls, "run": f"alphapulse strategy own_mover.py:{cls}"}
    frames = canonical_frames()
    with open_writer(tmp_path / "journal") as writer:
        append(writer, [data for _, _, data in frames], frames[0][0])
    arguments = [*said["run"].split()[1:], "--journal", "journal", "--signals", new_ring_name(), "--json"]
    run = subprocess.run(
        [sys.executable, "-m", "tools.command.main", *arguments],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    counted = json.loads(run.stdout.splitlines()[-1])
    assert counted["signals"] > 20 and counted["poisoned"] == 0 and counted["frames"] == len(frames)


def test_file_that_is_there_is_replaced_only_with_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("precious")
    with pytest.raises(UsageError, match=r"^mine\.py is there already; --force replaces it$"):
        CliRunner().invoke(command, ["mine"], catch_exceptions=False, standalone_mode=False)
    assert Path("mine.py").read_text() == "precious"
    CliRunner().invoke(command, ["mine", "--force"], catch_exceptions=False)
    assert "class Mine(Strategy)" in Path("mine.py").read_text()


@pytest.mark.parametrize("name", ["1x", "a-b", "class", "", "a b", "../x", "a.py", "é" * 11, "x" * 21, "json", "tlv"])
def test_name_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^NAME: "):
        CliRunner().invoke(command, [name], catch_exceptions=False, standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").mkdir()
    with pytest.raises(UsageError, match=r"mine\.py: cannot be written: Is a directory"):
        CliRunner().invoke(command, ["mine", "--force"], catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize("text", [PLAIN, NATIVE])
def test_class_name_is_an_identifier_that_hides_nothing(text: str) -> None:
    assert class_name("price_jump", text) == "PriceJump"
    for name in ("strategy", "native_strategy", "flag", "pool_sync", "_", "_1", "record", "i64"):
        made = class_name(name, text)
        assert made.isidentifier() and f"{made}(" not in text and f"import {made}" not in text
    assert class_name("pool_sync", text) == "PoolSyncOwn"
