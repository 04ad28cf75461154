"""`alphapulse config check` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SECRET = "wss://node.example/v2/0123456789abcdef"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.command.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("config", "check", *arguments, **environment)


FILE = f"""
[collector]
url = "{SECRET}"
fallback = ["{SECRET}"]
[relay.a]
ring = ["a"]
"""


def test_config_check_of_a_valid_file_names_keys_and_no_value(tmp_path: Path) -> None:
    file = tmp_path / "alphapulse.toml"
    file.write_text(FILE)
    ended = check(str(file), "--json", ALPHAPULSE__COLLECTOR__CAPACITY="65536")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "valid": True,
        "processes": {"collector": ["capacity", "fallback", "url"], "relay.a": ["ring"]},
        "sections": {},
    }
    assert "0123456789abcdef" not in ended.stdout + ended.stderr


def test_config_show_tells_values_and_origins_and_no_key_of_an_endpoint(tmp_path: Path) -> None:
    file = tmp_path / "alphapulse.toml"
    file.write_text(FILE)
    ended = run("-c", str(file), "config", "show", "--json", ALPHAPULSE__RELAY__A__PATIENCE="2.5")
    assert ended.returncode == 0, ended.stderr
    shown = json.loads(ended.stdout)
    assert shown["collector"]["url"] == {"value": "wss://node.example", "origin": "file"}
    assert shown["collector"]["fallback"] == {"value": ["wss://node.example"], "origin": "file"}
    assert shown["collector"]["watchdog"] == {"value": 10.0, "origin": "default"}
    assert shown["relay.a"]["patience"] == {"value": 2.5, "origin": "ALPHAPULSE__RELAY__A__PATIENCE"}
    assert "0123456789abcdef" not in run("config", "show", str(file)).stdout


def test_config_check_of_a_mistake_exits_2_and_names_the_key(tmp_path: Path) -> None:
    file = tmp_path / "alphapulse.toml"
    file.write_text(f'[collector]\nulr = "{SECRET}"\n')
    ended = check(str(file))
    assert ended.returncode == 2
    assert "collector.ulr: unknown key" in ended.stderr
    assert "0123456789abcdef" not in ended.stderr
    assert ended.stderr.count("\n") == 1
