"""`alphapulse init`: what it writes is valid, explains every key, and is nobody else's to read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools.command.checking import mistakes
from tools.command.config import load_config
from tools.command.sections import SECTIONS
from tools.init.template import configuration_file, pipeline, recorded_pipeline


def init(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    source = {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "tools.command.main", "init", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, env=os.environ | source | environment
    )


PIPELINES = {
    "polygon": pipeline("polygon", "market.polygon", "wss://node.example/KEY"),
    "ethereum": pipeline("ethereum", "market.ethereum", None),
    "recorded": recorded_pipeline(7),
}
COMMENTED_KEY = re.compile(r"^# (\w+ = (?!\.\.\.))", re.MULTILINE)


@pytest.mark.parametrize("name", PIPELINES)
def test_configuration_file_is_valid_and_has_every_key_of_its_sections(name: str, tmp_path: Path) -> None:
    processes = PIPELINES[name]
    text = configuration_file(processes)
    path = tmp_path / "alphapulse.toml"
    path.write_text(text)
    configuration = load_config(path, {})
    assert mistakes(configuration) == []
    assert set(configuration.processes) == set(processes) - {"up"}
    for section in {name.partition(".")[0] for name in processes}:
        for key in SECTIONS[section].keys.__struct_fields__:
            assert f"\n{key} = " in text or f"\n# {key} = " in text, (section, key)


def test_configuration_file_with_its_comments_taken_off_is_one_too() -> None:
    text = configuration_file(recorded_pipeline(7))
    tree = tomllib.loads(COMMENTED_KEY.sub(r"\1", text))
    assert tree["recorder"]["segment_mib"] == 64
    assert tree["collector"]["fallback"] == ["..."]


def test_init_writes_a_file_of_its_owner_asks_the_endpoint_and_replaces_nothing(tmp_path: Path) -> None:
    url = "ws://127.0.0.1:9/KEY"
    ended = init("--url", url, cwd=tmp_path)
    assert ended.returncode == 1
    assert "`alphapulse up -c alphapulse.toml` runs it" in ended.stdout
    assert "fail  connection" in ended.stdout
    assert "KEY" not in ended.stdout + ended.stderr
    file = tmp_path / "alphapulse.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    collector = load_config(file, {}).process("collector").values
    assert (collector["url"], collector["state"]) == (url, str(tmp_path / "market.polygon.state"))
    before = file.read_text()
    ended = init("--recorded", cwd=tmp_path)
    assert (ended.returncode, file.read_text()) == (2, before)
    assert "alphapulse.toml: exists already" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--chain", "poligon"), "did you mean polygon?"),
        (("--url", "http://node.example"), "expected a ws:// or wss:// URL"),
        (("--recorded", "--url", "ws://node.example"), "expected neither --url nor --chain"),
    ],
)
def test_init_of_what_cannot_be_writes_nothing(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    ended = init(*arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert expected in ended.stderr
    assert list(tmp_path.iterdir()) == []
