"""`alphapulse config check` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SECRET = "wss://node.example/v2/0123456789abcdef"


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.command.main", "config", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)


def test_config_check_of_a_valid_file_names_keys_and_no_value(tmp_path: Path) -> None:
    file = tmp_path / "alphapulse.toml"
    file.write_text(f'[collector]\nurl = "{SECRET}"\nfallbacks = ["{SECRET}"]\n[relay]\nring = ["a"]\n')
    ended = check(str(file), "--json", ALPHAPULSE__COLLECTOR__CAPACITY="65536")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "valid": True,
        "keys": {"collect": ["capacity", "fallbacks", "url"], "relay": ["ring"]},
    }
    assert "0123456789abcdef" not in check(str(file)).stdout


def test_config_check_of_a_mistake_exits_2_and_names_the_key(tmp_path: Path) -> None:
    file = tmp_path / "alphapulse.toml"
    file.write_text(f'[collector]\nulr = "{SECRET}"\n')
    ended = check(str(file))
    assert ended.returncode == 2
    assert "collector.ulr: unknown key" in ended.stderr
    assert "0123456789abcdef" not in ended.stderr
    assert ended.stderr.count("\n") == 1
