"""Which frames of a journal are left out of its canonical view, as far as the journal knows, or as it knew at a block.

Owns the statements that a judgement needs, and no more: `Sifter` gets them segment by segment, finds the contested
blocks, and keeps the statements about those.  How many others it keeps, in case that they become contested, its user
decides: `trim` bounds them by number, `settle` by segment.  If something is contested of which statements were
given away, `is_late` says so, and `gather` takes a second pass over the journal.

As of block N means: before the first message of a block above N, a Reorg to a higher head among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from consumers.analysis.contested import Watch
from consumers.analysis.statements import KIND, MOST_NUMBER, NUMBER, PARENT, REORG, SEQUENCE, TICKS
from consumers.analysis.verdicts import judge
from tlv.buffers import Longs
from tlv.errors import UsageError

KEPT_STATEMENTS = 1 << 20
"""Statements kept in case that their blocks become contested: 56 MiB, some 20,000 blocks of Polygon."""

Said = tuple[int, Longs]
"""A segment's ordinal and its statements."""
NONE: Longs = np.zeros(0, np.int64)


class Place(NamedTuple):
    """A frame of a journal."""

    ordinal: int
    sequence: int


class LeftOut(NamedTuple):
    """Frames that are no part of a view."""

    sequences: dict[int, Longs]
    """By the ordinal of their segment, in rising order."""
    cut: Place | None = None
    """The first frame that was not known yet; None: all are."""

    def keeps(self, ordinal: int, sequences: Longs) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which of the frames of a segment are part of the view."""
        kept = ~np.isin(sequences, self.sequences.get(ordinal, NONE))
        if self.cut is not None and ordinal >= self.cut.ordinal:
            kept &= (sequences < self.cut.sequence) & (ordinal == self.cut.ordinal)
        return kept

    def begins_at(self, ordinal: int) -> bool:
        """Whether no frame of this segment or a later one is part of the view."""
        return self.cut is not None and ordinal > self.cut.ordinal


class Sifter:
    """Judges the frames of a journal, whose statements `take` gets in their order."""

    def __init__(self, as_of: int | None = None) -> None:
        self.cut: Place | None = None
        self.is_late = False
        """Something is contested of which statements were given away."""
        self._as_of = as_of
        self._watch = Watch()
        self._kept: list[Said] = []
        self._gone = -1
        """The highest number of which statements were given away."""
        self._trimmed = 0

    def take(self, ordinal: int, said: Longs) -> None:
        """The statements of the next segment."""
        if self.cut is not None:
            return
        said = self._known(ordinal, self._watch.number_chains(said))
        marks = self._watch.take(said)
        if marks.shape[1] and int(marks[0].min()) <= self._gone:
            self.is_late = True
        self._kept.append((ordinal, said))

    def _known(self, ordinal: int, said: Longs) -> Longs:
        """The statements that were made before a block above `as_of` was known."""
        if self._as_of is None:
            return said
        kind = said[KIND]
        beyond = (kind != REORG) & (kind != TICKS) & (said[NUMBER] % MOST_NUMBER > self._as_of)
        beyond |= (kind == REORG) & (said[PARENT] > self._as_of)
        if beyond.any():
            at = int(np.argmax(beyond))
            self.cut = Place(ordinal, int(said[SEQUENCE, at]))
            return np.ascontiguousarray(said[:, :at])
        return said

    def trim(self) -> None:
        """Keep at most some KEPT_STATEMENTS of blocks that are not contested."""
        if sum(said.shape[1] for _, said in self._kept[self._trimmed :]) <= KEPT_STATEMENTS:
            return
        for index in range(self._trimmed, len(self._kept) - 1):
            ordinal, said = self._kept[index]
            wanted = self._wanted(said)
            self._gone = max(self._gone, int(said[NUMBER, ~wanted].max(initial=-1)))
            self._kept[index] = ordinal, np.ascontiguousarray(said[:, wanted])
            self._trimmed = index + 1

    def settle(self, ordinal: int) -> None:
        """Give away what is known of the segments up to `ordinal`, but for contested numbers that later ones name."""
        later = [said[NUMBER] for other, said in self._kept if other > ordinal]
        for index, (other, said) in enumerate(self._kept[: len(self._kept) - len(later)]):
            wanted = self._wanted(said)
            contested = np.unique(said[NUMBER, wanted])
            named = contested[np.isin(contested, np.concatenate([NONE, *later]))] if contested.size else contested
            wanted &= (said[KIND] == REORG) | np.isin(said[NUMBER], named)
            self._gone = max(self._gone, int(said[NUMBER, ~wanted].max(initial=-1)))
            self._kept[index] = other, np.ascontiguousarray(said[:, wanted])

    def gather(self, said_again: Iterable[Said]) -> None:
        """Take the statements about all contested numbers from another pass over the same segments."""
        numbering = Watch()
        self._kept = []
        for ordinal, said in said_again:
            numbered = numbering.number_chains(said)
            if self.cut is not None and ordinal >= self.cut.ordinal:
                numbered = numbered[:, (numbered[SEQUENCE] < self.cut.sequence) & (ordinal == self.cut.ordinal)]
            self._kept.append((ordinal, np.ascontiguousarray(numbered[:, self._wanted(numbered)])))
        self.is_late = False

    def _wanted(self, said: Longs) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        wanted: np.ndarray[tuple[int], np.dtype[np.bool_]] = self._watch.contested.hold(said[NUMBER])
        wanted |= said[KIND] == REORG
        return wanted

    def left_out(self) -> LeftOut:
        """The frames to leave out, by the statements that are kept.  Sets `is_late` if these are too few."""
        parts = [(ordinal, said[:, self._wanted(said)]) for ordinal, said in self._kept]
        ordinals = np.repeat([ordinal for ordinal, _ in parts], [part.shape[1] for _, part in parts])
        if not ordinals.size:
            return LeftOut({}, self.cut)
        said = np.ascontiguousarray(np.concatenate([part for _, part in parts], axis=1))
        verdict = judge(said)
        if verdict.cut_off and not self._watch.contested.covers(marks := np.array(verdict.cut_off, np.int64).T):
            self._watch.contested.add(marks)
            self.is_late = True
        dropped = verdict.dropped
        return LeftOut(
            {
                int(ordinal): np.sort(said[SEQUENCE, dropped[ordinals[dropped] == ordinal]])
                for ordinal in np.unique(ordinals[dropped])
            },
            self.cut,
        )


def check_as_of(as_of: int | None) -> None:
    """Raise UsageError unless `as_of` is a block number, or None."""
    if as_of is not None and (isinstance(as_of, bool) or not isinstance(as_of, int) or not 0 <= as_of < MOST_NUMBER):
        raise UsageError(f"as_of {as_of!r}: expected a block number from 0 to {MOST_NUMBER - 1}, or None")
