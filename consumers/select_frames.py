"""Which frames of a poll a consumer wants, by the type of their first record: one kernel call instead of a parse each.

Knows the framing and nothing of what a type means.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tlv.buffers import Bytes
from tlv.jit import kernel
from tlv.kernels import next_tlv
from tlv.layout import HEADER_SIZE
from tlv.status import OK

Longs = NDArray[np.int64]


def type_mask(types: Iterable[int]) -> Bytes:
    """uint8[256] with a 1 for each wanted type; no types at all = every type."""
    wanted = sorted(types)
    mask = np.zeros(256, dtype=np.uint8)
    mask[wanted if wanted else slice(None)] = 1
    return mask


@kernel
def select_frames(buffer: Bytes, offsets: Longs, lengths: Longs, mask: Bytes, chosen: Longs) -> int:
    """Write the indices of wanted frames to `chosen` (as long as `offsets`); how many there are.

    A frame without a readable first record is wanted too: whoever gets it says what is wrong with it.
    """
    count = 0
    for i in range(len(offsets)):
        end = offsets[i] + lengths[i]
        status, tlv_type, _, _, _ = next_tlv(buffer, offsets[i] + HEADER_SIZE, end)
        if status != OK or mask[tlv_type] != 0:
            chosen[count] = i
            count += 1
    return count
