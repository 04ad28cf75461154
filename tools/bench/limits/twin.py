"""The native program of this folder: the ring's twin in C++ and a bare broadcast queue, compiled where g++ is there.

Owns how it is compiled and started.  The twin knows the ring by its layout alone: `layout_header` writes the places of
all fields for C++, so no offset is stated twice, and the program refuses a ring of another layout.
"""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringbuf import Writer, layout, names
from ringbuf.names import ring_object
from tools.bench.ring.setting import ring

SOURCES = Path(__file__).parent / "cpp"
COMPILER = "g++"
TWIN, QUEUE = "C++ twin of the ring", "C++ broadcast queue"
FLAGS = ("-std=c++17", "-O3", "-march=native", "-Wall", "-Wextra", "-Werror")
STRUCTS = {
    "header": layout.HEADER,
    "commit": layout.COMMIT,
    "descriptor": layout.DESCRIPTOR,
    "control": layout.CONTROL,
    "slot": layout.SLOT,
}
CONSTANTS = (
    *("MAGIC", "FORMAT", "VERSION", "HEADER_BYTES", "ALIGNMENT", "ANCHORS", "SLOTS"),
    *("PAD", "ALIVE", "CLOSED", "JOINED"),
)
PATIENCE_S = 30.0


class NoTwin(Exception):
    """The native program cannot be had; the text says why."""


def layout_header() -> str:
    """`layout.hpp`: of each struct its bytes and the 64-bit word that each field starts at, or its byte's shift."""
    lines = ["// Made from ringbuf/layout.py.", "#pragma once", "#include <cstdint>"]
    lines += [f"constexpr std::int64_t {name} = {getattr(layout, name)};" for name in CONSTANTS]
    lines += [f'constexpr char {name}[] = "{getattr(names, name)}";' for name in ("CONTROL_SUFFIX", "LOCK_SUFFIX")]
    for struct, dtype in STRUCTS.items():
        lines += [f"namespace {struct} {{", f"constexpr std::int64_t bytes = {dtype.itemsize};"]
        for field, (_, offset, *_) in (dtype.fields or {}).items():
            lines.append(f"constexpr std::int64_t {field} = {offset // 8}, {field}_shift = {offset % 8 * 8};")
        lines.append("}")
    return "\n".join(lines) + "\n"


def compile_twin(folder: Path) -> Path:
    """The program, compiled into `folder`, which is the caller's to remove.

    Raises:
        NoTwin: there is no g++, or it refuses the sources.
    """
    if shutil.which(COMPILER) is None:
        raise NoTwin("no g++")
    (folder / "layout.hpp").write_text(layout_header())
    program = folder / "native"
    command = [COMPILER, *FLAGS, f"-I{folder}", str(SOURCES / "native.cpp"), "-o", str(program), "-lrt"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise NoTwin(f"{COMPILER} ended with {made.returncode}: {made.stderr.strip().partition(chr(10))[0]}")
    return program


@contextmanager
def started(program: Path, *arguments: object, fds: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """The program at work: its line "ready" was read."""
    command = [str(program), *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=fds)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise NoTwin(f"{' '.join(command)} ended with {process.wait()}")
        yield process
    finally:
        process.kill()
        process.communicate()


def rates(
    writer: subprocess.Popen[str], reader: subprocess.Popen[str], seconds: float
) -> tuple[tuple[int, float, int], tuple[int, float, int]]:
    """(frames, seconds, frames lost) of a writer and of a reader, both at work, within `seconds` from now on.

    Raises:
        NoTwin: one of them does not end, or says nothing.
    """
    writer.send_signal(signal.SIGUSR1)
    time.sleep(seconds)
    writer.terminate()
    reader.terminate()
    try:
        told, _ = writer.communicate(timeout=PATIENCE_S)
        heard, _ = reader.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as late:
        raise NoTwin(f"the C++ program did not end: {late}") from None
    return _report(told), _report(heard)


def _report(line: str) -> tuple[int, float, int]:
    try:
        frames, took_ns, lost = map(int, line.split())
    except ValueError:
        raise NoTwin(f"the C++ program said {line!r} instead of its three numbers") from None
    return frames, took_ns / 1e9, lost


@contextmanager
def closed_ring() -> Iterator[str]:
    """The object's name of a ring that has no writer at the moment."""
    with ring() as writer:
        name = writer.name
        writer.close()
        try:
            yield ring_object(name)
        finally:
            Writer.open(name).close(unlink=True)


@contextmanager
def shared_memory() -> Iterator[int]:
    """A descriptor of memory without a name, a page of zeros, for programs that inherit it."""
    fd = os.memfd_create("alphapulse-bench")
    try:
        os.truncate(fd, mmap.PAGESIZE)
        yield fd
    finally:
        os.close(fd)
