"""What one consumer received, counted in shared memory, so that its kill loses no count.

Owns the counts and their evaluation.  It must never know how a message came.
"""

from __future__ import annotations

import numpy as np

from tools.rig.numbered import is_genuine
from tools.rig.processes import shared

MOST_MESSAGES = 1 << 22
"""Most messages of a campaign.  Pages that are never written take no memory."""


class ConsumerWitness:
    """Shared with every process that is forked after it was made."""

    def __init__(self) -> None:
        self.seen = shared(np.uint16, MOST_MESSAGES)
        self.lost = shared(np.uint16, MOST_MESSAGES)
        self._damaged = shared(np.int64, 1)

    def see(self, sequence: int, message: bytes | memoryview) -> None:
        """Note one message; one that is not what was published under its sequence counts as damaged."""
        if is_genuine(sequence, message):
            self.seen[sequence] += 1
        else:
            self._damaged[0] += 1

    def lose(self, first: int, last: int) -> None:
        """Note sequences that were reported lost to this consumer."""
        self.lost[first : last + 1] += 1

    @property
    def damaged(self) -> int:
        """Messages that were not genuine."""
        return int(self._damaged[0])

    def missing(self, published: int) -> int:
        """How many of the sequences 1 to `published` were never seen."""
        return published - int(np.count_nonzero(self.seen[1 : published + 1]))

    def invented(self, published: int) -> int:
        """How many sequences were seen that were never published, and messages that were not genuine."""
        return int(np.count_nonzero(self.seen[published + 1 :])) + int(self.seen[0]) + self.damaged

    def repeated(self) -> int:
        """How many messages were seen more than once, each time counted."""
        return int(self.seen.sum(dtype=np.int64)) - int(np.count_nonzero(self.seen))

    def reported_lost(self) -> int:
        """How many sequences were reported lost to it."""
        return int(self.lost.sum(dtype=np.int64))

    def is_exact(self, published: int) -> bool:
        """Whether each sequence was seen once or reported lost once, so that delivered + lost == published."""
        accounts = self.seen[1 : published + 1] + self.lost[1 : published + 1]
        return bool((accounts == 1).all()) and not self.invented(published)
