"""The ring protocol: the only code that touches words shared between processes, and only through `atomics`.

It must never know who its reader or writer is or what a payload means, and it reads no clock but to end a spin (times
are arguments).
Every function takes arrays and integers, returns a status or a sequence, and never raises; the same source runs
compiled, as plain Python, and under the schedule explorer.

Invariants, cited where they are kept:

I1  `tail` is the only commit point.  Bytes at or beyond `tail` are never delivered.
I2  `intent` covers every byte that was ever written: a writer raises it before it writes, and it never decreases,
    not across restarts either.  So bytes at `p` are intact while `intent - p <= capacity`.
I3  A reader uses nothing it copied from `p` until, after the copy, it has loaded `intent - p <= capacity`.
I4  A position is the start of a record or is not used: records are contiguous from 0, 64-byte aligned, never wrap
    (a pad fills the end), and carry `position ^ salt`.
I5  One of the two commit records always belongs to `tail`, at every instant a writer can die.
I6  Sequences of data frames are dense from 1, across restarts; so the frame at `p` has at most `p / 64 + 1`.
I7  `intent <= gate`: unread frames of a reliable consumer that the last scan saw are never overwritten.
I8  A sleeper that announced itself (ticket) before it looked at `tail` is woken by the next commit.
I9  Anchors and `key_position` are hints, stored after the commit; a reader re-checks them by I3 and I4.
"""

from __future__ import annotations

from ringbuf.kernels.counting import bucket_of, count_ages, count_duration, put_words, raise_word
from ringbuf.kernels.ownership import set_state, take_over
from ringbuf.kernels.reading import copy_frame, idle_status, mark_read, poll_into, read_frame, readable
from ringbuf.kernels.seeking import seek_at, seek_key, seek_latest, seek_oldest, seek_sequence, skip_ahead
from ringbuf.kernels.slots import announce_slot, blocking_slot, describe_slot, set_slot, slot_state
from ringbuf.kernels.taking import put_back, take_frame
from ringbuf.kernels.waiting import sleep_on, spin, spin_yielding, wake
from ringbuf.kernels.words import copy_range, copy_words, get_word, put_word, record_bytes, snapshot, still_intact
from ringbuf.kernels.writing import (
    abandon,
    append,
    commit,
    declare,
    publish,
    publish_and_wake,
    publish_many,
    scan_gate,
    write_descriptor,
)

__all__ = [
    "abandon",
    "announce_slot",
    "append",
    "blocking_slot",
    "bucket_of",
    "commit",
    "copy_frame",
    "copy_range",
    "copy_words",
    "count_ages",
    "count_duration",
    "declare",
    "describe_slot",
    "get_word",
    "idle_status",
    "mark_read",
    "poll_into",
    "publish",
    "publish_and_wake",
    "publish_many",
    "put_back",
    "put_word",
    "put_words",
    "raise_word",
    "read_frame",
    "readable",
    "record_bytes",
    "scan_gate",
    "seek_at",
    "seek_key",
    "seek_latest",
    "seek_oldest",
    "seek_sequence",
    "set_slot",
    "set_state",
    "skip_ahead",
    "sleep_on",
    "slot_state",
    "snapshot",
    "spin",
    "spin_yielding",
    "still_intact",
    "take_frame",
    "take_over",
    "wake",
    "write_descriptor",
]
