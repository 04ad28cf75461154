"""What goes to stderr: text or JSON, cut of what URLs hold, whoever wrote it; and no process ends of it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.command.log_lines import make_formatter
from tools.command.stderr_log import without_urls

KEY = "0123456789abcdef"
BEGIN = "import logging, sys\nfrom tools.command.stderr_log import *\nfrom tools.command.stderr_log import HANDLER\n"
BEGIN += "set_up_logging('demo')\nHANDLER.shape(sys.argv[1])\nlog = logging.getLogger('alphapulse.x')\n"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


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


def record(message: object, *arguments: Any, extra: dict[str, Any] | None = None, **more: Any) -> logging.LogRecord:
    """As a logger makes it."""
    log = logging.getLogger("alphapulse.x")
    return log.makeRecord(log.name, logging.ERROR, "f", 1, message, arguments, more.get("exc_info"), extra=extra)


def shown(form: str, one: logging.LogRecord) -> str:
    return make_formatter(form, "relay.market").format(one)


def as_json(one: logging.LogRecord) -> dict[str, Any]:
    line = shown("json", one)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def with_a_url_everywhere() -> logging.LogRecord:
    try:
        raise ValueError(f"bad wss://node.example/{KEY}")
    except ValueError:
        fields = {"at": f"wss://b/{KEY}", "where": {"url": f"wss://c/{KEY}"}, "path": Path("/j")}
        return record("at %(at)s", fields, exc_info=sys.exc_info(), extra={"more": [f"wss://d/{KEY}"]})


def test_text_has_time_level_logger_message_and_the_fields_that_the_message_does_not_name() -> None:
    one = record(
        "ring %(ring)s: block %(block)d", {"ring": "market.x", "block": 7, "sequence": 12}, extra={"pool": "a b"}
    )
    time_, rest = shown("text", one).split(" ", 1)
    assert TIME.fullmatch(time_)
    assert rest == 'ERROR alphapulse.x: ring market.x: block 7 pool="a b" sequence=12'


def test_json_has_the_keys_of_every_line_first_and_each_named_argument() -> None:
    one = record("ring %(ring)s: block %(block)d", {"ring": "market.x", "block": 7, "sequence": 12})
    line = as_json(one)
    assert list(line) == ["time", "level", "logger", "process", "event", "ring", "block", "sequence"]
    assert TIME.fullmatch(line.pop("time"))
    assert list(line.values()) == ["error", "alphapulse.x", "relay.market", "ring market.x: block 7", "market.x", 7, 12]


@pytest.mark.parametrize("form", ["text", "json"])
def test_line_is_cut_with_its_arguments_its_fields_and_its_traceback(form: str) -> None:
    line = shown(form, with_a_url_everywhere())
    assert KEY not in line
    assert all(url in line for url in ("at wss://b", "wss://c", "wss://d", "ValueError: bad wss://node.example"))


def test_json_of_whatever_is_logged_can_be_read_and_keeps_its_own_keys() -> None:
    fields = {"ratio": float("nan"), "id": b"\x01\xff", "odd": "z\udc80", "none": None, "big": 1 << 255, "yes": True}
    own = {"time": "mine", "event": object, "websocket": object(), "color_message": "c"}
    line = as_json(record("two\nlines \x1b[31m", extra=fields | own))
    assert line["event"] == "two\nlines \x1b[31m" and line["time"] != "mine" and line["time_"] == "mine"
    assert (line["ratio"], line["id"], line["odd"], line["none"]) == ("nan", "0x01ff", "z\\udc80", None)
    assert (line["big"], line["yes"]) == (1 << 255, True)
    assert not {"websocket", "color_message", "exc_info", "_record"} & line.keys()


def test_text_of_another_origin_cannot_begin_a_line_or_colour_the_terminal() -> None:
    line = shown("text", record("said\n2026-01-01 forged \x1b[31m", extra={"words": "a\nb"}))
    assert line.count("\n") == 0 and "\x1b" not in line
    assert r"said\n2026" in line and r"words=a\nb" in line


def run(program: str, form: str = "text", **how: Any) -> subprocess.CompletedProcess[str]:
    how = {"capture_output": True} | how
    return subprocess.run([sys.executable, "-c", BEGIN + program, form], text=True, check=False, timeout=120, **how)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("defect", "code"),
    [
        (f"open('wss://node.example/{KEY}')", 1),
        (
            f"import threading\nt = threading.Thread(target=open, args=['wss://node.example/{KEY}'])\n"
            "t.start(); t.join()",
            0,
        ),
    ],
)
def test_traceback_of_a_defect_is_cut_and_goes_the_same_way(form: str, defect: str, code: int) -> None:
    ended = run(defect, form)
    assert ended.returncode == code
    assert "FileNotFoundError" in ended.stderr and "wss://node.example" in ended.stderr
    assert KEY not in ended.stderr
    if form == "json":
        (line,) = map(json.loads, ended.stderr.splitlines())
        assert line["level"] == "critical" and line["exception"].startswith("Traceback")


def test_debug_is_for_our_own_loggers_only() -> None:
    program = (
        "logging.getLogger('alphapulse.collector').info('too early')\nspeak_from(logging.DEBUG)\n"
        "for name in ('alphapulse.collector', 'websockets.client', 'numba', 'alphapulse.websockets'):\n"
        "    logging.getLogger(name).debug('said by %s', name)\n"
    )
    imported = "import producers.node.connection\n"  # which pins the logger of the WebSocket library
    ended = run(imported + program)
    assert [line.split(": ")[1] for line in ended.stderr.splitlines()] == ["said by alphapulse.collector"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_libraries_warnings_and_a_line_that_cannot_be_shown_have_the_same_form(form: str) -> None:
    program = (
        "import warnings\nlogging.getLogger('uvicorn.error').error('from %s', 'uvicorn')\n"
        f"warnings.warn('old wss://a/{KEY}')\nlog.error('%d', 'wss://a/{KEY}')\nspeak_from(logging.INFO)\nlog.info('after')\n"
    )
    lines = run(program, form).stderr.splitlines()
    assert [word in line for word, line in zip(("uvicorn", "old", "cannot be shown", "after"), lines, strict=True)] == [
        True
    ] * 4
    assert KEY not in "".join(lines)
    for line in lines:
        assert json.loads(line)["time"] if form == "json" else TIME.match(line)


def test_storm_is_told_in_part_with_the_rest_counted_at_its_end_before_the_line_that_explains_the_exit() -> None:
    program = (
        "for number in range(1300): log.warning('block %(block)d is odd', {'block': number})\n"
        "log.error('of another kind')\ntell_operator('demo: error: the last word', 'the last word')\n"
    )
    lines = [json.loads(line) for line in run(program, "json").stderr.splitlines()]
    assert [line.get("block") for line in lines] == [0, 1, 2, 3, 4, None, 1299, None]
    assert [line["event"] for line in lines[5:]] == ["of another kind", "block 1299 is odd", "the last word"]
    assert lines[6]["repeats"] == 1294
    (counted,) = (line for line in run(program).stderr.splitlines() if "more like it" in line)
    assert "block 1299 is odd ... 1,294 more like it in " in counted


def test_storm_that_ends_in_silence_is_counted_while_the_process_lives() -> None:
    """A thread tells, since no line comes any more."""
    program = "from tools.command import repeats\nrepeats.INTERVAL_NS //= 10\nHANDLER.prepare()\n"
    program += "for _ in range(900): log.warning('again')\ninput()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + program, "text"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while "again ..." not in (line := process.stderr.readline()):
        assert line
    assert " more like it in " in line and process.poll() is None
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


GOES_ON = "for number in range(3000): log.error('line %d', number)\nprint('out', file=sys.stderr)\n"
GOES_ON += "tell_operator('end', 'end')\nprint('done')\n"


@pytest.mark.parametrize("form", ["text", "json"])
def test_stderr_that_takes_nothing_ends_no_process(form: str) -> None:
    """A full disk, a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("w") as full, os.fdopen(writing, "w") as broken:
        for stderr in (full, broken):
            ended = run(GOES_ON, form, capture_output=False, stdout=subprocess.PIPE, stderr=stderr)
            assert (ended.returncode, ended.stdout) == (0, "done\n")


def test_stderr_that_is_closed_is_no_file_that_is_opened_later(tmp_path: Path) -> None:
    """Its descriptor would be the journal's; and Python prints to stdout what is for a stderr that is None."""
    program = f"journal = open({str(tmp_path / 'journal')!r}, 'w')\n" + GOES_ON + "print(journal.fileno() > 2)\n"
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", BEGIN + program, "text"]
    ended = subprocess.run(shell, stdout=subprocess.PIPE, text=True, check=False, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "done\nTrue\n")
    assert (tmp_path / "journal").read_text() == ""


def test_line_without_a_descriptor_left_is_written_once_prepared() -> None:
    program = (
        "import resource\nHANDLER.prepare()\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try: open('/dev/null')\nexcept OSError as error: log.error('lacking: %s', error)\n"
    )
    ended = run(program)
    assert ended.returncode == 0 and "ERROR alphapulse.x: lacking: " in ended.stderr
