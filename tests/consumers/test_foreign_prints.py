"""What foreign code prints goes to stderr, by whatever way, and stdout is the command's again afterwards."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from consumers.foreign_prints import DESCRIPTOR, prints_to_stderr


def write_in_every_way() -> None:
    assert sys.__stdout__ is not None
    print("print")
    sys.__stdout__.write("kept object\n")
    os.write(1, b"descriptor\n")
    subprocess.run(["/bin/echo", "child"], check=True)


def test_prints_of_foreign_code_go_to_stderr_by_whatever_way(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(1, b"ours\n")
    with prints_to_stderr():
        write_in_every_way()
    os.write(1, b"ours again\n")
    out, err = capfd.readouterr()
    assert out == "ours\nours again\n"
    assert sorted(err.splitlines()) == ["child", "descriptor", "kept object", "print"]


def test_stdout_is_apart_until_the_last_who_wants_it_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = DESCRIPTOR.apart(), DESCRIPTOR.apart()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(1, b"foreign\n")
    second.__exit__(None, None, None)
    os.write(1, b"ours\n")
    assert capfd.readouterr() == ("ours\n", "foreign\n")


def test_stdout_that_foreign_code_closes_is_there_again(capfd: pytest.CaptureFixture[str]) -> None:
    with prints_to_stderr():
        os.close(1)
    os.write(1, b"ours\n")
    assert capfd.readouterr().out == "ours\n"
