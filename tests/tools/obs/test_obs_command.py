"""The command line of `alphapulse obs`: what it refuses before it listens."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from ringbuf import BadRingName
from tlv.errors import UsageError
from tools.obs import command as obs

TOKEN = "0123456789abcdef"


def run(**options: Any) -> int:
    defaults = {
        **{"host": "127.0.0.1", "port": 0, "rings": (), "hosts": (), "origins": (), "token_file": None, "journals": ()},
        **{"notify_file": None, "notify_after": 30.0, "notify_test": False},
    }
    assert obs.command.callback is not None
    with click.Context(obs.command):
        return int(obs.command.callback(**defaults | options, as_json=True))


def token_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "example.invalid"])
def test_obs_at_an_address_that_others_reach_wants_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="expected --token-file too"):
        run(host=host)


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("", False)]
)
def test_obs_loopback_is_what_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert obs.is_loopback(host) is expected


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"short\n", 0o600, "expected one line of 16"),
        (b"two words of some length\n", 0o600, "expected one line of 16"),
        (b"0123456789abcdef\nmore lines than one\n", 0o600, "expected one line of 16"),
        ("0123456789abcdefgh\u00e9\n".encode(), 0o600, "expected one line of 16"),
        (b"\xff" * 20, 0o600, "not UTF-8"),
        (TOKEN.encode(), 0o640, "expected mode 0600, found 0640"),
    ],
)
def test_obs_token_file_that_cannot_be_used_is_refused_without_its_content(
    tmp_path: Path, content: bytes, mode: int, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        obs.read_token(token_file(tmp_path, content, mode))
    assert "0123456789" not in str(refused.value)


def test_obs_token_file_that_is_missing_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        obs.read_token(tmp_path / "none")


def test_obs_token_is_read_without_its_line_end(tmp_path: Path) -> None:
    assert obs.read_token(token_file(tmp_path, f"{TOKEN}\n".encode())) == TOKEN


def test_obs_at_a_port_that_is_taken_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: Address already in use"):
            run(port=port)


def test_obs_at_an_address_of_another_machine_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot assign requested address"):
        run(host="192.0.2.7", token_file=token_file(tmp_path, TOKEN.encode()))


def test_obs_of_a_name_that_no_ring_has_is_refused() -> None:
    with pytest.raises(BadRingName):
        run(rings=("No Ring",))


def test_obs_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "tools.obs.serving", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'alphapulse\[obs\]'"):
        run()


@pytest.mark.parametrize("options", [("--notify-test",), ("--notify-after", "5")])
def test_obs_notify_options_without_a_file_are_refused(options: tuple[str, ...]) -> None:
    context = obs.command.make_context("obs", [*options, "--port", "0"])
    with context, pytest.raises(UsageError, match=f"{options[0]} has no effect without --notify-file"):
        obs.command.invoke(context)


def test_obs_with_a_file_that_names_no_receiver_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "receivers"
    path.touch(mode=0o600)
    with pytest.raises(UsageError, match="expected 1 to 16 URLs, found 0"):
        run(notify_file=path)
