"""A log-linear histogram of durations, in memory of this process or in its counters.

Owns percentiles, edges and merging.  It must never know what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

import numpy as np

from ringbuf.kernels import bucket_of, copy_range, count_ages, count_duration
from ringbuf.layout import BUCKET_0, HISTOGRAM_WORDS, LONGEST_NS, LONGEST_WORD, SUB_BITS, SUM_WORD
from tlv.buffers import Longs, Words


def upper_edge(bucket: int) -> int:
    """The longest duration, in ns, that a bucket is meant for; the last one counts all longer ones too."""
    shift = max((bucket >> SUB_BITS) - 1, 0)
    return ((bucket - (shift << SUB_BITS)) << shift) + (1 << shift) - 1


class Histogram:
    """Durations in buckets 1/32 of their power of two wide: percentiles within 3.2 %, in 9 KB.

    `words` and `at` say where it stands, for kernels too; without them it has memory of its own.
    """

    def __init__(self, words: Words | None = None, at: int = 0) -> None:
        self.words: Words = np.zeros(HISTOGRAM_WORDS, dtype=np.int64) if words is None else words
        self.at = at

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Self:
        """What all of `parts` counted, as one."""
        whole = cls()
        for part in parts:
            copy = part.copy()
            longest = max(int(whole.words[LONGEST_WORD]), int(copy[LONGEST_WORD]))
            whole.words += copy
            whole.words[LONGEST_WORD] = longest
        return whole

    def add(self, duration_ns: int, times: int = 1) -> None:
        """Count one duration `times` times; a negative one (a clock that stepped) counts as 0."""
        # Clamped before it is a word: a time from a message can be anything.
        count_duration(self.words, self.at, min(max(duration_ns, 0), LONGEST_NS), times)

    def add_ages(self, moments: Longs, now_ns: int, since_ns: int = 0) -> None:
        """Count how long ago each of `moments` was, those before `since_ns` left out: nothing that waited is missing
        for having waited."""
        count_ages(self.words, self.at, moments, since_ns, now_ns)

    def copy(self) -> Longs:
        """Its words, each as it is when it is read: what is counted meanwhile may stand in a later bucket only."""
        copied: Longs = np.zeros(HISTOGRAM_WORDS, dtype=np.int64)
        copy_range(self.words, self.at, HISTOGRAM_WORDS, copied)
        return copied

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return int(self.copy()[BUCKET_0:].sum())

    @property
    def sum_ns(self) -> int:
        """Of all durations."""
        return int(self.copy()[SUM_WORD])

    @property
    def longest_ns(self) -> int:
        """Exact."""
        return int(self.copy()[LONGEST_WORD])

    def percentile(self, share: float) -> int:
        """The upper edge of the bucket in which the given share of the durations ends; 0 if there are none."""
        words = self.copy()
        ends = np.cumsum(words[BUCKET_0:])
        if ends[-1] == 0:
            return 0
        bucket = int(np.searchsorted(ends, max(math.ceil(share * int(ends[-1])), 1)))
        longest = int(words[LONGEST_WORD])
        # Copied while it was written, the longest may be older than the buckets: then it says nothing of this one.
        return longest if bucket_of(longest) == bucket else upper_edge(bucket)

    def below(self, limits_ns: Iterable[int]) -> list[int]:
        """How many durations are shorter than each limit; exact for powers of two."""
        ends = np.cumsum(self.copy()[BUCKET_0:])
        return [int(ends[bucket_of(limit) - 1]) for limit in limits_ns]

    def to_dict(self) -> dict[str, int]:
        """Median, 99th percentile and maximum in ns."""
        return {"p50": self.percentile(0.5), "p99": self.percentile(0.99), "max": self.longest_ns}
