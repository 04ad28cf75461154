"""Counts and histograms of one process, in words that other processes read at any time.

Each word has one writer, and every word of a histogram only grows.  So a reader sees each word whole, and a copy made
meanwhile holds, bucket by bucket, a count that was true at some moment of the copying: percentiles are taken from the
buckets alone, which need not agree with the sum.
"""

from __future__ import annotations

from ringbuf.atomics import load_monotonic, store_monotonic
from ringbuf.layout import BUCKET_0, BUCKETS, LONGEST_NS, LONGEST_WORD, SUB_BITS, SUM_WORD
from tlv.buffers import Longs, Words
from tlv.jit import kernel


@kernel
def bucket_of(duration_ns: int) -> int:
    """The number of the bucket that counts a duration of 0 ns or more."""
    rest = duration_ns >> (SUB_BITS + 1)
    shift = 0
    for step in (32, 16, 8, 4, 2, 1):
        if rest >> step:
            rest >>= step
            shift += step
    shift += rest
    return min((duration_ns >> shift) + (shift << SUB_BITS), BUCKETS - 1)


@kernel
def raise_word(words: Words, index: int, by: int) -> None:
    """Add to a word that nobody else writes."""
    store_monotonic(words, index, load_monotonic(words, index) + by)


@kernel
def count_duration(words: Words, at: int, duration_ns: int, times: int) -> None:
    """Count a duration `times` times in the histogram at word `at`; a negative one (a clock that stepped) as 0."""
    duration = min(max(duration_ns, 0), LONGEST_NS)
    raise_word(words, at + BUCKET_0 + bucket_of(duration), times)
    raise_word(words, at + SUM_WORD, duration * times)
    if duration > load_monotonic(words, at + LONGEST_WORD):
        store_monotonic(words, at + LONGEST_WORD, duration)


@kernel
def count_ages(words: Words, at: int, moments: Longs, since_ns: int, now_ns: int) -> None:
    """Count how long ago each of `moments` was, those before `since_ns` left out.

    Frames of one chunk are of about one age, so a bucket is stored once for a run of them: 2 ns a frame instead of 8.
    """
    low, high, bucket, run, total, longest = 1, 0, 0, 0, 0, 0
    for moment in moments:
        if moment < since_ns:
            continue
        age = min(max(now_ns - moment, 0), LONGEST_NS)
        if age < low or age > high:
            raise_word(words, at + BUCKET_0 + bucket, run)
            bucket, run = bucket_of(age), 0
            shift = max((bucket >> SUB_BITS) - 1, 0)
            low = (bucket - (shift << SUB_BITS)) << shift
            high = low + (1 << shift) - 1
        run += 1
        total += age
        longest = max(longest, age)
    raise_word(words, at + BUCKET_0 + bucket, run)
    raise_word(words, at + SUM_WORD, total)
    if longest > load_monotonic(words, at + LONGEST_WORD):
        store_monotonic(words, at + LONGEST_WORD, longest)


@kernel
def put_words(words: Words, first: int, values: Longs) -> None:
    """Store `values` from word `first` on, each whole."""
    for i in range(len(values)):
        store_monotonic(words, first + i, values[i])
