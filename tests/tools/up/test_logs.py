"""Following a log that rotates: every line once, in order, whatever happens between two looks."""

from __future__ import annotations

import random
from pathlib import Path

from tools.up.logs import FollowedFile
from tools.up.processes import last_lines


def test_followed_file_shows_every_line_once_over_rotations_that_come_at_any_moment(tmp_path: Path) -> None:
    draw = random.Random(20261128)
    log, seen, written = tmp_path / "one.log", [], []
    followed = FollowedFile(log, "")
    followed.skip()
    for number in range(3000):
        line = f"line {number} {'x' * draw.randrange(80)}"
        data = f"{line}\n".encode()
        cut = draw.randrange(len(data) + 1)
        for part in (data[:cut], data[cut:]):
            with log.open("ab") as file:
                file.write(part)
            if draw.random() < 0.3:
                seen += followed.new_lines()
        written.append(line)
        if draw.random() < 0.02:
            log.replace(tmp_path / "one.log.1")
            log.touch()
    seen += followed.new_lines()
    # Two rotations between two looks hide the file between them.
    assert seen == [line for line in written if line in set(seen)]
    assert len(written) - len(seen) < 100


def test_followed_file_begins_behind_what_is_there(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("before\n")
    followed = FollowedFile(log, "")
    followed.skip()
    with log.open("a") as file:
        file.write("behind\nnot yet who")
    assert followed.new_lines() == ["behind"]
    with log.open("a") as file:
        file.write("le\n")
    assert followed.new_lines() == ["not yet whole"]


def test_last_lines_of_a_long_file_and_of_none(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("".join(f"{number} {'x' * 100}\n" for number in range(1000)))
    assert [line.split()[0] for line in last_lines(log, 3)] == ["997", "998", "999"]
    assert last_lines(tmp_path / "none", 3) == []
