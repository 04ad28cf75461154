"""Where a reader goes on in a ring that holds bytes no writer writes.

Owns the search for the next sound record: the nearest anchor behind the damage, else the ring's end.  Both say their
sequence, so what lies between is an exact loss.
"""

from __future__ import annotations

from ringbuf import Reader
from ringbuf.errors import CorruptRing
from ringbuf.kernels import get_word, seek_at
from ringbuf.layout import ANCHOR_0, ANCHORS


def seek_beyond(reader: Reader, sequence: int) -> bool:
    """Move `reader` to the first place behind the damaged frame `sequence` that can be found; False if there is none.

    The place may be `sequence` itself, at the ring's end: then nothing is lost.
    """
    best = None
    for number in range(ANCHORS):
        if seek_at(reader.words, reader.state, get_word(reader.words, ANCHOR_0 + number), 0):
            found = reader.sequence, reader.position
            if found[0] > sequence and (best is None or found < best):
                best = found
    if best:
        return bool(seek_at(reader.words, reader.state, best[1], 0))
    try:
        reader.seek("latest")
    except CorruptRing:
        return False
    return reader.sequence >= sequence
