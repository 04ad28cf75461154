"""What is worth telling a person of conditions that are judged again and again.

Owns each condition's history since obs began.  It knows neither a clock nor who is told; times are seconds of a
monotonic clock.

    untold --unmet for `after_s`--> begun --met for `after_s`--> ended --> untold
      |                               |
      +------ FLAPS beginnings within WINDOW_S ------> flapping --the same for WINDOW_S--> ended, or still

A condition that is not judged any more (its ring or process was removed) counts as met.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tools.obs.conditions import Condition

WINDOW_S = 600.0
FLAPS = 4
"""Beginnings within the window from which on they are told as one thing."""
REMIND_S = 4 * 3600.0
"""What lasts is told again so often."""
GONE = "is not there any more"


class NoticeKind(StrEnum):
    """What is told of a condition."""

    BEGUN = "begun"
    FOUND = "found"
    """It was unmet already when obs began."""
    STILL = "still"
    FLAPPING = "flapping"
    ENDED = "ended"


@dataclass(frozen=True)
class ConditionNotice:
    """One thing to tell."""

    kind: NoticeKind
    name: str
    subject: str
    text: str
    at_s: float
    """When it began, ended, or was found to last."""
    since_s: float
    """When it was unmet first; of one that has ended, too."""


@dataclass
class Trouble:
    """A condition that is unmet, or was a while ago."""

    name: str
    subject: str
    found: bool
    """Unmet in the first look, and since then."""
    since_s: float
    """When it was unmet first."""
    changed_s: float
    """When it became met or unmet last."""
    ok: bool = False
    told: NoticeKind | None = None
    """As what it stands with whoever is told."""
    told_s: float = 0.0
    beginnings: deque[float] = field(default_factory=deque)
    """Of the last WINDOW_S."""

    def advance(self, ok: bool, text: str, now_s: float, after_s: float) -> ConditionNotice | None:
        """What is to be told now, if anything."""
        if ok != self.ok:
            self.ok, self.changed_s, self.found = ok, now_s, False
            if not ok:
                self.beginnings.append(now_s)
                if self.told is None:
                    self.since_s = now_s
        while self.beginnings and now_s - self.beginnings[0] > WINDOW_S:
            self.beginnings.popleft()
        kind = self._worth_telling(now_s, after_s)
        if kind is None:
            return None
        if kind is NoticeKind.FLAPPING:
            text = f"unmet {len(self.beginnings)} times in {WINDOW_S / 60:.0f} minutes, now: {text}"
        self.told = None if kind is NoticeKind.ENDED else kind
        self.told_s = now_s
        lasting = kind in {NoticeKind.STILL, NoticeKind.FLAPPING}
        return ConditionNotice(kind, self.name, self.subject, text, now_s if lasting else self.changed_s, self.since_s)

    def _worth_telling(self, now_s: float, after_s: float) -> NoticeKind | None:
        lasts_s = now_s - self.changed_s
        if self.told is NoticeKind.FLAPPING:
            if lasts_s >= WINDOW_S:
                return NoticeKind.ENDED if self.ok else NoticeKind.STILL
            return NoticeKind.FLAPPING if now_s - self.told_s >= REMIND_S else None
        if len(self.beginnings) >= FLAPS:
            return NoticeKind.FLAPPING
        if self.ok:
            return NoticeKind.ENDED if self.told and lasts_s >= after_s else None
        if self.told is None:
            began = NoticeKind.FOUND if self.found else NoticeKind.BEGUN
            return began if lasts_s >= after_s else None
        return NoticeKind.STILL if now_s - self.told_s >= REMIND_S else None

    def is_over(self) -> bool:
        """Whether nothing need be known of it any more."""
        return self.ok and self.told is None and not self.beginnings


class Noticing:
    """Follows conditions; one must be unmet, or met again, for `after_s` before it is told."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._troubles: dict[tuple[str, str], Trouble] = {}
        self._began = False

    def advance(self, conditions: Iterable[Condition], now_s: float) -> list[ConditionNotice]:
        """What is to be told after a look."""
        judged: dict[tuple[str, str], Condition] = {}
        for condition in conditions:
            key = (condition.name, condition.subject)
            if key not in judged or judged[key].ok:
                judged[key] = condition
        for key, condition in judged.items():
            if not condition.ok and key not in self._troubles:
                began = Trouble(*key, found=not self._began, since_s=now_s, changed_s=now_s)
                began.beginnings.append(now_s)
                self._troubles[key] = began
        self._began = True
        notices = []
        for key, trouble in list(self._troubles.items()):
            now = judged.get(key)
            ok, text = (now.ok, now.text) if now is not None else (True, GONE)
            notice = trouble.advance(ok, text, now_s, self._after_s)
            if notice is not None:
                notices.append(notice)
            if trouble.is_over():
                del self._troubles[key]
        return notices
