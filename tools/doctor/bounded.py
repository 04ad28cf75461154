"""A check of this machine that can neither crash nor hang the doctor.

Owns the bound and what is said of a check that did not end or raised.  A file system that hangs, a FIFO that nobody
writes to: what hangs the check would hang a process of the pipeline.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from tlv.errors import AlphaPulseError
from tools.command.stderr_log import without_urls
from tools.doctor.finding import CheckResult, Verdict, unreadable

CHECK_S = 15.0
"""Some import every command, which a busy machine takes seconds for."""
HUNG = "what it looked at hangs: is a file system gone (`mount`, `dmesg`), or a file a FIFO (`ls -l`)?"

Found = CheckResult | Iterable[CheckResult]
Check = Callable[[], Found]
Named = tuple[str, Check]
"""A check, and what it is called where it finds nothing."""


def look(name: str, check: Check, *, bound_s: float = CHECK_S) -> list[CheckResult]:
    """What a check found, or why it could not."""
    found: list[CheckResult] = []
    thread = threading.Thread(target=lambda: found.extend(_look(name, check)), daemon=True)
    thread.start()
    thread.join(bound_s)
    if thread.is_alive():
        return [CheckResult(name, Verdict.FAIL, f"could not be checked: no answer within {bound_s:g} s", HUNG)]
    return found


def _look(name: str, check: Check) -> list[CheckResult]:
    try:
        found = check()
        return [found] if isinstance(found, CheckResult) else list(found)
    except OSError as error:
        return [unreadable(name, error)]
    except AlphaPulseError as error:
        return [CheckResult(name, Verdict.FAIL, without_urls(str(error)))]
    except Exception as error:  # noqa: BLE001 - a defect of one check must not hide what the others find
        said = without_urls(f"{type(error).__name__}: {error}")
        return [CheckResult(name, Verdict.UNKNOWN, f"could not be checked: {said}", "report it")]
