"""What one check found.  Owns the verdicts and their one line; it checks nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """Outcome of a check."""

    OK = "ok"
    WARN = "warn"
    """Works, and costs speed or comfort."""
    FAIL = "fail"
    """The pipeline would not work."""
    UNKNOWN = "?"
    """Cannot be told from here."""


@dataclass(frozen=True)
class CheckResult:
    """What one check found, and what to do about it unless it is well."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""
    measured: Mapping[str, float | None] = field(default_factory=dict)
    """The numbers in `found`, for programs."""

    @property
    def line(self) -> str:
        """For people."""
        advice = "" if self.verdict is Verdict.OK or not self.advice else f"  ({self.advice})"
        return f"{self.verdict:4}  {self.name}: {self.found}{advice}"


def unreadable(name: str, error: OSError) -> CheckResult:
    """The finding of a check that was not allowed to look, or could not."""
    where = f"{error.filename}: " if error.filename else ""
    return CheckResult(name, Verdict.UNKNOWN, f"{where}cannot be read ({error.strerror or error})", "look as its owner")


def healthy(findings: Iterable[CheckResult]) -> bool:
    """Whether no check failed."""
    return all(finding.verdict is not Verdict.FAIL for finding in findings)
