"""A log that rotates: every line once, in order, whatever happens between two looks, or said to be missing."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from supervisor import loggers

from tools.up.careful_log import CarefulLog
from tools.up.rotated import MISSING, FollowedLog, last_lines

GAP = MISSING.decode().rstrip("\n")
MAX_BYTES = 4000
WHOLE = re.compile(r"(\d+) x*;")


def careful_log(path: Path, older: int) -> CarefulLog:
    log = CarefulLog(str(path), maxBytes=MAX_BYTES, backupCount=older)
    log.setFormat("%(message)s")
    return log


def write(log: CarefulLog, text: str) -> None:
    log.emit(loggers.LogRecord(loggers.LevelsByName.INFO, text.replace("%", "%%")))


@pytest.mark.parametrize(("older", "looks"), [(3, 0.2), (0, 0.5), (2, 0.01)])
def test_followed_log_shows_every_line_once_or_that_some_are_missing(tmp_path: Path, older: int, looks: float) -> None:
    draw = random.Random(20261128)
    path, seen, written = tmp_path / "one.log", [], []
    followed, log = FollowedLog(path), careful_log(path, older)
    for number in range(5000):
        line = f"{number} {'x' * draw.randrange(80)};"
        cut = draw.randrange(len(line) + 1)
        for part in (line[:cut], line[cut:] + "\n"):
            write(log, part)
            if draw.random() < looks:
                seen += followed.new_lines()
        written.append(line)
    seen += followed.new_lines()
    log.close()
    if older == 3:
        assert seen == written
        return
    assert seen.count(GAP) > 0
    check_gaps(seen, 5000)


def check_gaps(seen: list[str], count: int) -> None:
    """Whole lines are `NUMBER x...x;`: each comes behind the one before it, unless a gap is told between them."""
    expected = 0
    for line in seen:
        if line == GAP:
            expected = -1
        elif found := WHOLE.fullmatch(line):
            assert expected in {-1, int(found[1])}
            expected = int(found[1]) + 1
    assert expected == count


FLOOD = """
import sys
from tests.tools.up.test_rotated import careful_log, write
from pathlib import Path
log = careful_log(Path(sys.argv[1]), 2)
for number in range(100_000):
    write(log, f"{number} x;\\n")
"""


def test_log_of_a_process_that_floods_it_is_bounded_and_the_follower_says_what_it_missed(tmp_path: Path) -> None:
    path, seen = tmp_path / "one.log", []
    followed = FollowedLog(path)
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen([sys.executable, "-c", FLOOD, str(path)], cwd=root) as process:
        while process.poll() is None:
            seen += followed.new_lines()
    assert process.returncode == 0
    seen += followed.new_lines()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.log", "one.log.1", "one.log.2"]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 3 * (MAX_BYTES + 10)
    check_gaps(seen, 100_000)
    assert last_lines(path, 400) == [f"{number} x;" for number in range(99_600, 100_000)]


def test_followed_log_that_had_rotated_before_its_first_look_says_that_lines_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    followed, log = FollowedLog(path), careful_log(path, 2)
    for number in range(5000):
        write(log, f"{number} x;\n")
    log.close()
    first, *seen = followed.new_lines()
    assert first == GAP
    assert seen[0] != "0 x;"
    check_gaps([first, *seen], 5000)


def test_followed_log_begins_behind_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    path.write_text("before\n")
    followed = FollowedLog(path)
    with path.open("a") as file:
        file.write("behind\nnot yet who")
    assert followed.new_lines() == ["behind"]
    with path.open("a") as file:
        file.write("le\n")
    assert followed.new_lines() == ["not yet whole"]


def test_last_lines_go_on_in_the_files_that_the_log_was_before(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    assert last_lines(path, 3) == []
    log = careful_log(path, 3)
    for number in range(200):
        write(log, f"{number} {'x' * 40}\n")
    assert [int(line.split()[0]) for line in last_lines(path, 120)] == list(range(80, 200))
    assert [int(line.split()[0]) for line in last_lines(path, 3)] == [197, 198, 199]


def test_last_lines_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    path.write_text("".join(f"{number} {'x' * 100}\n" for number in range(1000)))
    assert [line.split()[0] for line in last_lines(path, 3)] == ["997", "998", "999"]
    assert len(last_lines(path, 900)) == 900
