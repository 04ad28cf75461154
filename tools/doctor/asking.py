"""Asking an endpoint without ever waiting in silence: each check bounded, each finding told at once, with its remedy.

Owns the bounds and the remedies for what a node refuses.  It must never judge an answer: the checks do.

    find(name, check)  --answers-->  its finding                                       told at once
                       --refused-->  FAIL, by what the refusal means, and the remedy   told at once
                       --nothing for CHECK_S-->  FAIL, and after two such the rest is not asked
    every PROGRESS_S without a finding: a line that says what is being waited for
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator

from producers.node.refusals import Meaning
from tlv.errors import FeedError
from tools.command.stderr_log import without_urls
from tools.doctor.finding import CheckResult, Verdict
from tools.rig.endpoint import Unanswered

CHECK_S = 8.0
"""All questions of one check together; a node that takes longer is of no use to a collector either."""
PROGRESS_S = 3.0
MOST_MUTE = 2
"""Checks without an answer until the rest is not asked."""
REMEDIES = {
    Meaning.RATE: "it allows too few requests a second: an account, or another endpoint; a collector gets slower",
    Meaning.QUOTA: "its quota is used up, or an account is needed: --fallback with another endpoint, or an account",
    Meaning.RANGE: "a collector asks for less at once",
    Meaning.SIZE: "a collector asks in parts",
    Meaning.POLICY: "it never answers that: --fallback or --cross-check with an endpoint that does",
    Meaning.UNSUPPORTED: "its software does not know that: another endpoint, or a newer version",
    Meaning.PRUNED: "it keeps no state of that block: is it in sync?",
    Meaning.TRANSIENT: "try again; if it stays, use another endpoint",
    Meaning.REVERT: "is it this chain?",
}
SILENT = "it accepts connections and answers nothing: use another endpoint"

Say = Callable[[str], None]
Tell = Callable[[CheckResult], None]


class Asking:
    """The checks of one endpoint, as they are made."""

    def __init__(self, say: Say, tell: Tell) -> None:
        self.findings: list[CheckResult] = []
        self._say, self._tell = say, tell
        self._mute = 0
        self._waiting_for, self._since = "the connection", time.monotonic()

    @property
    def is_hopeless(self) -> bool:
        """Whether so many questions had no answer that no more are worth asking."""
        return self._mute >= MOST_MUTE

    def found(self, finding: CheckResult) -> None:
        """Keep a finding, and tell it."""
        self.findings.append(finding)
        self._since = time.monotonic()
        self._tell(finding)

    def wait_for(self, what: str) -> None:
        """What is being waited for now, should it take long."""
        self._waiting_for, self._since = what, time.monotonic()

    async def find(self, name: str, check: Awaitable[CheckResult], *, bound_s: float = CHECK_S) -> None:
        """The finding of a check, or what kept it from finding anything."""
        self.wait_for(name)
        try:
            async with asyncio.timeout(bound_s):
                finding = await check
        except TimeoutError:
            self._mute += 1
            finding = CheckResult(name, Verdict.FAIL, f"no answer within {bound_s:g} s", SILENT)
        except Unanswered as error:
            self._mute += error.failure.code is None and "no answer" in error.failure.message
            finding = CheckResult(name, Verdict.FAIL, str(error), REMEDIES[error.failure.meaning])
        except FeedError as error:
            finding = CheckResult(name, Verdict.FAIL, str(error), "use another endpoint")
        except Exception as error:  # noqa: BLE001 - a defect of one check must not hide what the others find
            found = f"could not be checked: {without_urls(f'{type(error).__name__}: {error}')}"
            finding = CheckResult(name, Verdict.UNKNOWN, found, "report it")
        else:
            self._mute = 0
        self.found(finding)

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Say every few seconds what is being waited for."""
        task = asyncio.create_task(self._report())
        try:
            yield
        finally:
            task.cancel()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            waited_s = time.monotonic() - self._since
            self._say(f"waiting for {self._waiting_for}: {waited_s:.0f} s ...")
