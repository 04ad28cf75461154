"""An event loop in virtual time: asyncio as it is, but its clock stands still until everything that is due has run.

Owns the time of one process.  It opens no file and no socket, and never blocks: `run_until` returns once nothing is
due before a given time.
"""

from __future__ import annotations

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Coroutine
from typing import Any

MOST_ROUNDS = 20_000
"""Of the loop in one turn: a process that needs more does not wait for anything."""


BEHIND_S = 1e-9
"""So that a sum of floats is not before the time that it stands for."""
MOST_CANCELS = 4
"""A task may take one for something else."""
BURIAL_S = 30.0
"""Longer than anything that a cancelled task still waits for."""


class NeverWaited(Exception):
    """A process that runs without an end."""


class LoopTime:
    """Stands for the module `time` in code that runs in such a loop."""

    def monotonic(self) -> float:
        """The time of the process that asks."""
        return asyncio.get_running_loop().time()

    def monotonic_ns(self) -> int:
        """The same in ns."""
        return int(self.monotonic() * 1e9)

    time_ns = monotonic_ns


def give(awaited: asyncio.Future[Any], result: Any) -> None:
    """Let a future have its result, unless nobody waits any more."""
    if not awaited.done():
        awaited.set_result(result)


class ProcessLoop(BaseEventLoop):
    """The loop of one process; `failed` is told of a task that ends with an exception, `strike` says when it dies."""

    def __init__(
        self,
        now: float,
        failed: Callable[[BaseException], None],
        executor_s: Callable[[], float],
        strike: Callable[[], bool],
    ) -> None:
        super().__init__()
        self.now = self._until = now
        self._failed, self._executor_s = failed, executor_s
        self._strike = strike
        self.alive = True
        """Until it is killed; from then on nothing that it does has an effect."""
        self._rounds = 0
        self._selector = self
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        """The process's own time."""
        return self.now

    def run_until(self, until: float) -> None:
        """Run whatever is due until then.

        Raises:
            NeverWaited: that has no end.
        """
        self._until, self._rounds = until, 0
        self.run_forever()
        self.now = max(self.now, until)

    def struck(self) -> bool:
        """Whether the process is dead; asked before each of its effects, it may die at any of them."""
        if self.alive and self._strike():
            self.alive = False
        return not self.alive

    def bury(self) -> None:
        """End the tasks of a process that was killed."""
        self.alive = False
        for _ in range(MOST_CANCELS):
            for task in asyncio.all_tasks(self):
                task.cancel()
            self._until, self._rounds = self.now + BURIAL_S, 0
            self.run_forever()
        self.close()

    def select(self, timeout: float | None) -> list[object]:
        """Stands for a selector's: goes to the next time at which something is due."""
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            raise NeverWaited(f"{MOST_ROUNDS} rounds of its loop in one turn")
        if timeout is None or self.now + timeout > self._until:
            self.stop()
        elif timeout > 0:
            self.now += timeout + BEHIND_S
        return []

    def run_in_executor(self, executor: Any, call: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """What would block another thread takes its time here."""
        done = self.create_future()
        result = call(*arguments)
        self.call_later(self._executor_s(), give, done, result)
        return done

    def _make_task(self, loop: Any, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=self, **options)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if self.alive and not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _process_events(self, events: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nothing blocks."""
