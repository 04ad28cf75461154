"""A command in a process that is forked from this one: it has the imports and the kernels of the tests already.

What a start costs, and what it imports, is for tests that start an interpreter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO, NoReturn

from tools.command.main import main

LONGEST_S = 120


def run_forked(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `alphapulse ARGUMENTS` to its end."""
    done = run_forked_on(b"", *arguments)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def run_forked_on(stdin: bytes, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """The same with bytes in and out.  A signal ends a command that takes too long."""
    with ExitStack() as stack:
        streams = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        streams[0].write(stdin)
        streams[0].seek(0)
        words = [str(one) for one in arguments]
        child = os.fork()
        if not child:
            become(words, streams)
        _, status = os.waitpid(child, 0)
        for stream in streams:
            stream.seek(0)
        return subprocess.CompletedProcess(
            words, os.waitstatus_to_exitcode(status), stdout=streams[1].read(), stderr=streams[2].read()
        )


def become(words: list[str], streams: Sequence[IO[bytes]]) -> NoReturn:
    """Be the command, with its own standard streams, and end without what the tests do at their end."""
    code: object = 1
    try:
        signal.alarm(LONGEST_S)
        for fd, stream in enumerate(streams):
            os.dup2(stream.fileno(), fd)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        sys.argv = ["alphapulse", *words]
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001  # as the interpreter does at its end
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)
