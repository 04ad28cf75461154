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
    """The remedy: a command to type where there is one."""
    measured: Mapping[str, float | None] = field(default_factory=dict)
    """The numbers in `found`, for programs."""
    expected: str = ""
    where: str = ""
    """A file, a device, a key of the configuration."""

    @property
    def line(self) -> str:
        """For people."""
        if self.verdict is Verdict.OK:
            return f"{self.verdict:4}  {self.name}: {self.found}"
        expected = f", expected {self.expected}" if self.expected else ""
        where = f" [{self.where}]" if self.where else ""
        advice = f"  ({self.advice})" if self.advice else ""
        return f"{self.verdict:4}  {self.name}: {self.found}{expected}{where}{advice}"


def unreadable(name: str, error: OSError) -> CheckResult:
    """The finding of a check that was not allowed to look, or could not."""
    where = str(error.filename) if error.filename else ""
    found = f"could not be checked: {error.strerror or error}"
    return CheckResult(name, Verdict.UNKNOWN, found, "look as its owner", where=where)


def healthy(findings: Iterable[CheckResult]) -> bool:
    """Whether no check failed."""
    return all(finding.verdict is not Verdict.FAIL for finding in findings)
