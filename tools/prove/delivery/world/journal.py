"""The journal of a name: segments that are written, damaged, and dropped by retention.

Owns what is recorded.  Answers as `consumers.journal.extents` and the relay's journal thread do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consumers.incarnations import Extent
from consumers.relay.journal_reading import Answer, NoWindow
from consumers.relay.windows import JournalWindow
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.findings import Findings
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.rings import message_of, place_frames

SEGMENT_FRAMES = 12
WINDOW_FRAMES = 7
AGAIN_S = 0.02


@dataclass
class KeptSegment:
    """One segment; `behind` counts recorded losses too."""

    uuid: bytes
    first: int
    behind: int
    frames: list[int] = field(default_factory=list)
    damaged: bool = False
    ended: bool = False
    again: bool = False
    """Written after everything was removed: perhaps what was there before."""


class WorldJournal:
    """What the recorder wrote and retention left."""

    def __init__(self) -> None:
        self.segments: list[KeptSegment] = []
        self.removals = 0
        """How often everything was removed under the recorder."""

    def of(self, uuid: bytes) -> list[KeptSegment]:
        """The segments of one ring."""
        return [segment for segment in self.segments if segment.uuid == uuid]

    def last_sound(self) -> KeptSegment | None:
        """The last segment that can be read: behind it a new recorder goes on."""
        return next((segment for segment in reversed(self.segments) if not segment.damaged), None)

    def lost_place(self, uuid: bytes, sequence: int) -> bool:
        """Whether a recorder that stands there records again what a damaged segment held, which nobody expects."""
        return any(one.damaged and one.behind > sequence for one in self.of(uuid))

    def append(self, uuid: bytes, first: int, behind: int, *, lost: bool, anew: bool) -> None:
        """Record frames, or that they are lost; `anew` by another writer, whose segments are its own."""
        last = self.segments[-1] if self.segments else None
        if last is None or anew or last.uuid != uuid or last.damaged or len(last.frames) >= SEGMENT_FRAMES:
            last = KeptSegment(uuid, first, first, again=self.removals > 0)
            self.segments.append(last)
        last.behind = behind
        if not lost:
            last.frames.extend(range(first, behind))

    def end(self, uuid: bytes, at: int) -> None:
        """Record that the ring has ended."""
        if not self.of(uuid):
            self.segments.append(KeptSegment(uuid, at, at))
        self.of(uuid)[-1].ended = True

    def suffer(self, chances: Chances, findings: Findings) -> None:
        """Lose segments to retention, or to damage."""
        segments = self.segments
        if len(segments) > 1 and chances.strikes("retention", 0.05):
            count = chances.number("retention", 1, len(segments) - 1)
            del segments[:count]
            findings.note(f"retention drops {count} segments")
        if segments and chances.strikes("damage", 0.03):
            segments[chances.number("damage", 0, len(segments) - 1)].damaged = True
            findings.note("a segment is damaged")
        if segments and chances.strikes("journal_removed", 0.01):
            segments.clear()
            self.removals += 1
            findings.note("all segments are removed")

    def lose_tail(self, frames: int) -> None:
        """Lose what the disk had not taken when the power went: the last frames, and that the ring had ended."""
        last = self.segments[-1] if self.segments else None
        if last is None or not frames:
            return
        last.ended = False
        last.behind = max(last.first, last.behind - frames)
        last.frames = [frame for frame in last.frames if frame < last.behind]
        if last.behind == last.first:
            self.segments.pop()

    def extents(self) -> list[Extent]:
        """As `RecordedRings.extents`."""
        found: dict[bytes, Extent] = {}
        for one in self.segments:
            first = min(one.first, found[one.uuid].first) if one.uuid in found else one.first
            found[one.uuid] = Extent(one.uuid, first, one.behind, one.ended)
        return list(found.values())

    def uuids(self) -> set[bytes]:
        """As `RecordedRings.uuids`."""
        return {one.uuid for one in self.segments}

    def segment_behind(self, uuid: bytes, sequence: int) -> int | None:
        """As `RecordedRings.segment_behind`."""
        return min((one.first for one in self.of(uuid) if one.first > sequence), default=None)

    def has(self, uuid: bytes, first: int, last: int) -> int | None:
        """The first of these sequences that can be read; what was removed and is back, a relay may still lack."""
        sound = (one for one in self.of(uuid) if not (one.damaged or one.again))
        return next((frame for one in sound for frame in one.frames if first <= frame <= last), None)

    def next_frames(self, uuid: bytes, sequence: int) -> list[int]:
        """The next frames from `sequence` on as a reader finds them: of one segment, up to its next recorded loss."""
        for one in self.of(uuid):
            frames = [] if one.damaged else [frame for frame in one.frames if frame >= sequence][:WINDOW_FRAMES]
            if frames:
                return [frame for at, frame in enumerate(frames) if frame == frames[0] + at]
        return []

    def read(self, uuid: bytes, sequence: int) -> JournalWindow | NoWindow:
        """The frames from `sequence` on, or the first ones behind it that can be read."""
        frames = self.next_frames(uuid, sequence)
        if frames:
            return window_of(uuid, sequence, frames)
        damaged = any(one.damaged and one.behind > sequence for one in self.of(uuid))
        return NoWindow.NEVER if damaged else NoWindow.END

    def close(self) -> None:
        """Nothing is held."""


def window_of(uuid: bytes, begin: int, frames: list[int]) -> JournalWindow:
    """The window of these frames."""
    number = int.from_bytes(uuid, "big")
    payloads, table = place_frames([(frame, message_of(number, frame)) for frame in frames])
    return JournalWindow(begin, frames[-1] + 1, table, payloads)


class JournalAnswers:
    """What stands for a feed's `JournalWindows`: answers come some time after they were asked for."""

    def __init__(self, journal: WorldJournal, uuid: bytes, clock: DeliveryClock, chances: Chances) -> None:
        self._journal, self._uuid, self._clock, self._chances = journal, uuid, clock, chances
        self._window: JournalWindow | None = None
        self._due: dict[int, float] = {}
        self._answers: dict[int, tuple[float, Answer]] = {}

    def window(self, sequence: int) -> JournalWindow | None:
        """The window that covers `sequence`, if it came."""
        now = self._clock.now
        for asked in [asked for asked, at in self._due.items() if at <= now]:
            del self._due[asked]
            outcome = self._journal.read(self._uuid, asked)
            if isinstance(outcome, JournalWindow):
                self._window = outcome
            else:
                self._answers[asked] = now, Answer(asked, outcome)
        window = self._window
        return window if window is not None and window.begin <= sequence < window.behind else None

    def is_asked(self, sequence: int) -> bool:
        """Whether its answer is to come."""
        return sequence in self._due

    def ask(self, sequence: int) -> Answer | None:
        """Why there is no window; None if that is being found out."""
        at, answer = self._answers.get(sequence, (0.0, None))
        if answer is not None and self._clock.now - at < AGAIN_S:
            return answer
        late = self._chances.seconds("late_journal", 1.0) if self._chances.strikes("late_journal", 0.3) else 0.001
        self._due.setdefault(sequence, self._clock.now + late)
        return None

    def close(self) -> None:
        """Nothing is held."""
