"""What goes to stderr is cut of what URLs hold, whoever wrote it."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from tools.command.stderr_log import FORMAT, UrlCuttingFormatter, without_urls

KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"to wss://node.example/v2/{KEY} now", "to wss://node.example now"),
        (f"wss://user:{KEY}@node.example:8546/?key={KEY}#x", "wss://node.example:8546"),
        (f"(NATS://me:{KEY}@10.0.0.1:4222)", "(NATS://10.0.0.1:4222)"),
        (f"'https://node.example?{KEY}': no", "'https://node.example': no"),
        (f"ws://a/{KEY} and ws://b/{KEY}", "ws://a and ws://b"),
        (f"wss://{KEY}@", "wss://"),
        ("expected a ws:// or wss:// URL with a host", "expected a ws:// or wss:// URL with a host"),
        ("no URL: a/b@c", "no URL: a/b@c"),
    ],
)
def test_url_in_a_text_is_cut_down_to_its_host(text: str, left: str) -> None:
    assert without_urls(text) == left


def test_log_record_is_cut_with_its_arguments_and_its_traceback() -> None:
    try:
        raise ValueError(f"bad wss://node.example/{KEY}")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "at %s", (f"wss://b/{KEY}",), sys.exc_info())
    text = UrlCuttingFormatter(FORMAT).format(record)
    assert "at wss://b" in text
    assert "ValueError: bad wss://node.example" in text
    assert KEY not in text


def test_traceback_of_a_defect_is_cut_too() -> None:
    program = f"from tools.command.stderr_log import set_up_logging\nset_up_logging()\nopen('wss://node.example/{KEY}')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "FileNotFoundError" in ended.stderr
    assert "wss://node.example" in ended.stderr
    assert KEY not in ended.stderr


def test_debug_is_for_our_own_loggers_only() -> None:
    program = (
        "import logging\nfrom tools.command.stderr_log import set_up_logging, speak_from\nset_up_logging()\n"
        "logging.getLogger('alphapulse.collector').info('too early')\nspeak_from(logging.DEBUG)\n"
        "for name in ('alphapulse.collector', 'websockets.client', 'numba', 'alphapulse.websockets'):\n"
        "    logging.getLogger(name).debug('said by %s', name)\n"
    )
    imported = "import producers.node.connection\n"  # which pins the logger of the WebSocket library
    ended = subprocess.run([sys.executable, "-c", imported + program], capture_output=True, text=True, check=True)
    assert [line.split(": ")[1] for line in ended.stderr.splitlines()] == ["said by alphapulse.collector"]
