"""Runs a page of the documents as a reader would, on a machine of its own: `python -m tests.docs.run_page PAGE`.

`unshare` gives the page its own processes, /dev/shm and loopback, so every ring name and port in it is free, and what
it starts ends with it; home and run-time directory are its own too, but not the compiled kernels and what npm fetched.
The blocks run in order, in one folder that looks like the project's; what one exports, the next ones have.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.docs.pages import ROOT, CodeBlock, Given, PageError, Step, read_page
from tests.own_mounts import OWN_MOUNTS
from tlv.user_cache import cache_root

MACHINE = [*OWN_MOUNTS, "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
# The shell stays, as the process that inherits orphans and reaps them.
BOOT = 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && "$@"; exit $?'

PATIENCE_S = 300.0
"""For one block; the machine may be busy, and kernels may have to be compiled."""
INTERPRETERS = {
    "sh": "",
    "python": "exec python - <",
    "javascript": "exec node --input-type=module - <",
    "sql": "exec python -c 'import duckdb, sys; print(duckdb.sql(sys.stdin.read()))' <",
    "toml": "exec alphapulse config check ",
}

JOURNAL = """
alphapulse node --port 8546 --speed max >node.txt &
node=$!
alphapulse record --ring market.polygon --out "$SHARED/new" --wait-for-ring 60 --until-closed &
recorder=$!
alphapulse collect --url ws://127.0.0.1:8546 --ring market.polygon --until-idle 3
wait $recorder
kill $node
mv "$SHARED/new" "$SHARED/journal"
"""
NODE = "alphapulse node --port 8545 --speed 20 --at-end loop"
UP = """
alphapulse up --detach
alphapulse dump signal.flash_arbitrage --follow --limit 1
"""
PIPELINE = """
[node]
port = 8546
speed = 60
at_end = "loop"
[collector]
url = "ws://127.0.0.1:8546"
ring = "market.polygon"
[strategy]
ring = "market.polygon"
gross = true
[recorder]
ring = "market.polygon"
out = "journals/market.polygon"
[relay]
ring = ["market.polygon"]
journal = ["journals/market.polygon"]
"""


class BlockFailed(Exception):
    """A block did not do what the page says."""


@dataclass
class Running:
    """A block that was started."""

    block: CodeBlock
    process: subprocess.Popen[bytes]
    printed: Path

    def output(self) -> str:
        return self.printed.read_text(errors="replace")

    def fail(self, what: str) -> BlockFailed:
        return BlockFailed(f"{self.block.place}: {what}\n{self.block.text}---- printed\n{self.output()}")

    def wait_for(self, text: str) -> None:
        """Until it has printed `text`."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.output():
            if self.process.poll() is not None:
                raise self.fail(f"ended with {self.process.returncode} before it printed {text!r}")
            if time.monotonic() > deadline:
                raise self.fail(f"{text!r} was not printed")
            time.sleep(0.02)

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise self.fail("does not end") from None
        if "Traceback (most recent call last)" in self.output():
            raise self.fail("a traceback")
        return code

    def stop(self, number: signal.Signals) -> None:
        """Send it a signal, as a terminal does, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.end()


class PageRun:
    """One run of one page, below `home`."""

    def __init__(self, home: Path, shared: Path) -> None:
        self._home = home
        self._shared = shared
        self._folder = home / "page"
        self._folder.mkdir()
        for entry in ROOT.iterdir():
            (self._folder / entry.name).symlink_to(entry)
        (home / "run").mkdir(mode=0o700)
        share_kernels(home / ".cache" / "alphapulse")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALPHAPULSE", "XDG_"))}
        self._environment = kept | {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]]),
            "PYTHONUNBUFFERED": "1",
            "SHARED": str(shared),
        }
        self._state = home / "state.sh"
        self._state.write_text(f"cd {self._folder}\n")
        self._number = 0
        self._last: Running | None = None
        self._background: list[Running] = []

    def take(self, step: Step) -> None:
        """Do what a step says.

        Raises:
            BlockFailed.
        """
        if isinstance(step, Given):
            self._give(step)
        elif step.title is not None:
            self._write(step)
        elif step.marks.keys() & {"not run", "run by"}:
            return
        elif "output" in step.marks:
            self._compare(step)
        elif step.language == "json":
            json.loads(step.text)
        elif step.language != "text":
            self._run(step)

    def finish(self) -> None:
        """End what the page left in the background, the last first."""
        for running in reversed(self._background):
            if running.process.poll() is not None:
                raise running.fail(f"ended with {running.process.returncode} before its page did")
            running.stop(signal.SIGTERM)

    def _give(self, given: Given) -> None:
        if given.what == "journal":
            with (self._shared / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not (self._shared / "journal").exists():
                    self._run(CodeBlock(given.place, "sh", None, JOURNAL))
            shutil.copytree(self._shared / "journal", self._folder / "journal")
        elif given.what == "node":
            self._run(CodeBlock(given.place, "sh", None, NODE, {"background": "serve recording"}))
        elif given.what.endswith(".md"):
            for block in read_page(ROOT / given.what):
                if isinstance(block, CodeBlock) and block.title is not None:
                    self._write(block)
        else:
            (self._folder / "alphapulse.toml").write_text(PIPELINE)
            self._run(CodeBlock(given.place, "sh", None, UP))

    def _write(self, block: CodeBlock) -> None:
        file = self._folder / str(block.title)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
        if file.name == "alphapulse.toml":
            self._run(CodeBlock(block.place, "toml", None, block.text))

    def _run(self, block: CodeBlock) -> None:
        running = self._last = self._start(block)
        if "background" in block.marks:
            self._background.append(running)
            running.wait_for(block.marks["background"])
        elif "interrupted" in block.marks:
            running.wait_for(block.marks["interrupted"])
            running.stop(signal.SIGINT)
        elif code := running.end():
            raise running.fail(f"exit code {code}")

    def _start(self, block: CodeBlock) -> Running:
        self._number += 1
        text = self._home / f"block{self._number}"
        text.write_text(block.text)
        printed = text.with_suffix(".printed")
        interpreter = INTERPRETERS[block.language]
        script = f". {self._state}\n{interpreter}{text}\n" if interpreter else f". {self._state}\n{block.text}\n"
        if not interpreter and "background" not in block.marks:
            script += f'export -p >{self._state}\nprintf "cd %q\\n" "$PWD" >>{self._state}\n'
        with printed.open("wb") as output:  # no pipe: what a block leaves in the background would hold it open
            process = subprocess.Popen(
                ["bash", "-euc", script],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Running(block, process, printed)

    def _compare(self, block: CodeBlock) -> None:
        """Hold what the last block printed against what the page shows."""
        assert self._last is not None, f"{block.place}: there is no block before this output"
        if re.fullmatch(pattern_of(block.text), lines_of(self._last.output()), re.DOTALL) is None:
            raise self._last.fail(f"printed something else than the page shows at {block.place}\n{block.text}----")


def lines_of(text: str) -> str:
    """The text without what no reader sees: blanks at the ends of its lines and of itself."""
    return "".join(f"{line.rstrip()}\n" for line in text.strip().splitlines())


def pattern_of(shown: str) -> str:
    """The regular expression of an output that a page shows: `...` is any text, a line of it any number of lines."""
    found = []
    for line in lines_of(shown).splitlines(keepends=True):
        found.append("(?:[^\n]*\n)*?" if line == "...\n" else ".*?".join(map(re.escape, line.split("..."))))
    return "".join(found)


def share_kernels(cache: Path) -> None:
    """Let a new cache of this machine hold the kernels of the user's own, and what was fetched from npm."""
    cache.mkdir(parents=True, mode=0o700)
    for kept in (*cache_root().glob("kernels-*"), *cache_root().glob("evm")):
        (cache / kept.name).mkdir(mode=0o700)
        subprocess.run(["mount", "--bind", kept, cache / kept.name], check=True)


def raise_loopback() -> None:
    """Switch `lo` on, which a new network lacks (netdevice(7): SIOCSIFFLAGS, IFF_UP)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))


def run_page(page: Path, home: Path, shared: Path, tell: Callable[[str], object]) -> None:
    """Run every block of a page on the machine that this process is on.

    Raises:
        PageError, BlockFailed.
    """
    raise_loopback()
    run = PageRun(home, shared)
    for step in read_page(page):
        began = time.monotonic()
        run.take(step)
        tell(f"{step.place} {time.monotonic() - began:.1f} s")
    run.finish()


def run_on_own_machine(
    page: Path, shared: Path, output: int | None = subprocess.PIPE, pictures: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a page on a machine made for it; `shared` keeps what pages share, a journal of the recording.

    The pictures that it makes are copied into the folder `pictures`.  Its own folder is removed from outside, where
    nothing is mounted in it.
    """
    with tempfile.TemporaryDirectory(prefix="ap", ignore_cleanup_errors=True) as home:  # short, as sockets need it
        run = [sys.executable, "-m", "tests.docs.run_page", page, home, shared]
        command = [*MACHINE, "sh", "-c", BOOT, "sh", *map(str, run)]
        ran = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True)
        for picture in (Path(home) / "page").glob("*.svg") if pictures else ():
            shutil.copy(picture, pictures)
        return ran


def main() -> None:
    """Run a page here, or, if only the page is named, on a machine of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("home", type=Path, nargs="?")
    parser.add_argument("shared", type=Path, nargs="?")
    parser.add_argument("--pictures", type=Path, help="copy the pictures that it makes into this folder")
    arguments = parser.parse_args()
    if arguments.shared is None:
        with tempfile.TemporaryDirectory() as shared:
            sys.exit(run_on_own_machine(arguments.page, Path(shared), None, arguments.pictures).returncode)
    try:
        run_page(arguments.page, arguments.home, arguments.shared, partial(print, flush=True))
    except (BlockFailed, PageError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
