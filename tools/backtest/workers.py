"""Runs in processes of their own: forked, so that all of them read one map and share what was compiled.

Owns the processes: who is given which run, who ended before its time, and that none outlives this one.  Every process
takes one run after the other.  One that is killed costs the run that it had; the others go on.

They are forked before anything here starts a thread, so no lock is held by a thread that does not exist in them.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, NamedTuple, TypeVar

from tlv.errors import AlphaPulseError
from tools.command.parent import request_death_signal

LOOK_S = 0.2
"""How long Ctrl-C may go unnoticed."""
T = TypeVar("T")
Advance = Callable[[int], object]
Work = Callable[[int, Advance], T]
"""Does run `number`, and says now and then how much more of it is done."""


class Finished(NamedTuple, Generic[T]):
    """A run, and what it gave; or why it gave nothing."""

    number: int
    result: T | None
    failure: str


class Worker(Generic[T]):
    """One process, and the run that it has; -1 for none."""

    def __init__(self, work: Work[T]) -> None:
        context = multiprocessing.get_context("fork")
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(work, theirs, self.ours, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()
        self.number = -1

    def give(self, number: int) -> bool:
        """Hand over a run; False if the process is gone."""
        try:
            self.ours.send(number)
        except OSError:
            return False
        self.number = number
        return True

    def receive(self) -> Any:
        """The next thing that it says; None if it ended without a word."""
        try:
            return self.ours.recv()
        except (EOFError, OSError):
            return None

    def end(self) -> str:
        """Wait for the process, whose pipe is closed, and say how it ended."""
        self.process.join(LOOK_S)
        self.kill()
        code = self.process.exitcode or 0
        return f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"its process exited ({code})"

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join()
        self.ours.close()


def serve(work: Work[Any], theirs: Connection, ours: Connection, parent: int) -> None:
    """The life of a process: do what comes, until its pipe is closed.

    Ctrl-C goes to the whole terminal, and the parent decides; what a strategy prints belongs to no result.
    """
    ours.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    request_death_signal()
    os.dup2(2, 1)
    while os.getppid() == parent:
        try:
            number = theirs.recv()
        except EOFError:
            return
        ended = attempt(work, number, theirs.send)
        try:
            theirs.send(ended)
        except Exception as error:  # noqa: BLE001 - what cannot be pickled: a result of foreign code
            theirs.send(Finished(number, None, f"its result cannot be sent: {error}"))


def attempt(work: Work[T], number: int, advance: Advance) -> Finished[T]:
    """Do a run; whatever it raises is why it failed."""
    try:
        return Finished(number, work(number, advance), "")
    except AlphaPulseError as error:
        return Finished(number, None, str(error))
    except MemoryError:
        return Finished(number, None, "there was no memory left for it")
    except BaseException as error:  # noqa: BLE001 - foreign code, SystemExit too: it concerns this run alone
        return Finished(number, None, "".join(traceback.format_exception(error, limit=-3)).strip())


class Workers(Generic[T]):
    """At most `jobs` processes for runs 0 to `count` - 1.  A context manager; behind it none of them is left."""

    def __init__(self, work: Work[T], count: int, jobs: int) -> None:
        gc.collect()
        gc.freeze()  # a collection in a fork would write to every object that they share
        self._workers: list[Worker[T]] = [Worker(work) for _ in range(min(count, jobs))]
        self._waiting = list(range(count))

    def run(self, advance: Advance, asked_to_stop: Callable[[], bool]) -> Iterator[Finished[T]]:
        """Yield each run as it ends, in no order; nothing more once asked to stop."""
        for worker in list(self._workers):
            self._give_next(worker)
        while self._workers and not asked_to_stop():
            for ready in wait([worker.ours for worker in self._workers], LOOK_S):
                worker = next(one for one in self._workers if one.ours is ready)
                said = worker.receive()
                if isinstance(said, int):
                    advance(said)
                    continue
                ended = said if said is not None else Finished(worker.number, None, worker.end())
                worker.number = -1
                if said is None:
                    self._drop(worker)
                else:
                    self._give_next(worker)
                yield ended
        if not asked_to_stop():
            for number in self._waiting:
                yield Finished(number, None, "no process was left for it")

    def _give_next(self, worker: Worker[T]) -> None:
        if not self._waiting:
            self._drop(worker)
        elif worker.give(self._waiting[0]):
            del self._waiting[0]
        else:
            self._drop(worker)

    def _drop(self, worker: Worker[T]) -> None:
        worker.kill()
        self._workers.remove(worker)

    def __enter__(self) -> Workers[T]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
        gc.unfreeze()
