"""The blocks of a packed segment, found without its trailer.

Owns the walk over zstd frames, and what is done where one of them is damaged: the next one that unpacks is searched
for, and what lies between counts as one block that is lost.  `packed` reads a segment by this or by its trailer.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import zstandard

from consumers.journal.layout import (
    END,
    HEADER_BYTES,
    INDEX_STRIDE,
    MAX_PAYLOAD,
    SEGMENT_MAGIC,
    RecordHead,
    SegmentHeader,
)
from tlv.buffers import Bytes

FRAME_MAGIC = (0xFD2FB528).to_bytes(4, "little")
BLOCK_HEAD_BYTES = 3
CHECKSUM_BYTES = 4
RLE = 1
"""The type of a block of one repeated byte, whose size is not the one in its head."""


class PackedBlock(NamedTuple):
    """A block: its bytes in the packed segment, and the raw ones that they stand for."""

    packed: int
    packed_end: int
    offset: int
    end: int
    first_sequence: int
    next_sequence: int
    """0 if it is not known."""


class WholeFrame(NamedTuple):
    """A zstd frame that unpacks: where it stands, and its content."""

    begin: int
    end: int
    content: Bytes


def unpack_frame(data: bytes, size: int) -> Bytes | None:
    """The `size` bytes of one zstd frame; None if `data` is not that."""
    try:
        # Looked at first: damaged, it could ask for any amount of memory.
        if zstandard.get_frame_parameters(data).content_size != size:
            return None
        unpacked = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    except zstandard.ZstdError:
        return None
    return np.frombuffer(unpacked, np.uint8)


def frame_size(data: memoryview) -> int:
    """Bytes of the zstd frame at the beginning of `data`, by the heads of its blocks; 0 if it does not fit."""
    try:
        at = zstandard.frame_header_size(data)
        checked = zstandard.get_frame_parameters(data).has_checksum
    except zstandard.ZstdError:
        return 0
    while len(data) - at >= BLOCK_HEAD_BYTES:
        head = int.from_bytes(data[at : at + BLOCK_HEAD_BYTES], "little")
        last, kind, size = head & 1, head >> 1 & 3, head >> 3
        at += BLOCK_HEAD_BYTES + (1 if kind == RLE else size)
        if last:
            at += CHECKSUM_BYTES if checked else 0
            return at if at <= len(data) else 0
    return 0


def content_size(data: memoryview) -> int:
    """The size of the content by the frame's header; 0 if it does not say it, or says one that cannot be."""
    try:
        size = int(zstandard.get_frame_parameters(data).content_size)
    except zstandard.ZstdError:
        return 0
    return size if size <= MAX_PAYLOAD + INDEX_STRIDE else 0


def whole_frames(data: memoryview, find: mmap.mmap) -> Iterator[WholeFrame]:
    """Every frame of `data` that unpacks, in order; damaged ones are passed over."""
    begin = find.find(FRAME_MAGIC)
    while begin >= 0:
        size = frame_size(data[begin:])
        content = unpack_frame(bytes(data[begin : begin + size]), content_size(data[begin:])) if size else None
        if content is None:
            begin = find.find(FRAME_MAGIC, begin + 1)
            continue
        yield WholeFrame(begin, begin + size, content)
        begin = find.find(FRAME_MAGIC, begin + size)


def find_blocks(file: BinaryIO) -> list[PackedBlock]:
    """The blocks of the packed segment in `file`; damaged bytes between two frames are a block that does not unpack."""
    found: list[PackedBlock] = []
    at, offset, next_sequence = 0, HEADER_BYTES, 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
        for begin, end, content in whole_frames(data, mapped):
            if begin > at:
                found.append(PackedBlock(at, begin, offset, offset + INDEX_STRIDE, 0, 0))
                offset += INDEX_STRIDE
            at = end
            if is_header(content):
                continue
            head = RecordHead.unpack(content.tobytes())
            if head.mark == END:
                next_sequence = head.sequence
                break
            found.append(PackedBlock(begin, end, offset, offset + content.size, head.sequence, 0))
            offset += content.size
    following = [*(block.first_sequence for block in found[1:]), next_sequence]
    return [block._replace(next_sequence=after) for block, after in zip(found, following[: len(found)], strict=True)]


def is_header(content: Bytes) -> bool:
    """Whether the content of a frame is the header of a segment."""
    return content.size == HEADER_BYTES and SegmentHeader.unpack(content.tobytes()).magic == SEGMENT_MAGIC
