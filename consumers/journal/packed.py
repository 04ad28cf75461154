"""A packed segment: blocks of records, each a zstd frame with its own checksum, and a trailer that says where they are.

Owns the format (`layout` draws it), packing, and reading as if it were the raw segment.  A reader holds one unpacked
block and the index, some 150 KiB, however long the segment is.  This file does not know what a record is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import zstandard
from msgspec.structs import replace

from consumers.journal.blocks import PackedBlock, find_blocks, unpack_frame
from consumers.journal.errors import JournalError
from consumers.journal.index import RecordPlace, SegmentIndex, pack_index, unpack_index
from consumers.journal.layout import (
    FOOTER_MAGIC,
    HEAD_BYTES,
    HEADER_BYTES,
    SKIPPABLE_MAGIC,
    PackedFooter,
    SkippableHead,
)
from consumers.journal.opened import OpenedSegment
from tlv.buffers import Bytes

ZSTD_LEVEL = 3
"""zstd's own default: packing shares the machine with the recorder, so CPU time matters more than the file's size."""
HEADER_FRAME_BYTES = 1 << 10
"""At most; the frame of a header takes some 150."""
FOOTER_BYTES = PackedFooter.layout.size
TRAILER_BEGIN = SkippableHead.layout.size + HEADER_BYTES
"""Where the index stands in a trailer."""


class RawSegment(Protocol):
    """What a segment is packed from."""

    @property
    def size(self) -> int:
        """Bytes of the raw segment."""

    def read_at(self, offset: int, into: Bytes) -> int:
        """Copy bytes from `offset` on into `into`; returns how many there were."""


def write_packed(source: RawSegment, index: SegmentIndex, file: BinaryIO) -> None:
    """Pack the complete raw segment, whose index is `index`, into `file`."""
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    header = read_exactly(source, 0, HEADER_BYTES)
    at = file.write(compressor.compress(header))
    entries = index.entries.copy()
    edges = [*entries["offset"].tolist(), index.header.segment_bytes]
    for number in range(entries.size):
        entries[number]["packed"] = at
        at += file.write(compressor.compress(read_exactly(source, edges[number], edges[number + 1] - edges[number])))
    end = read_exactly(source, index.header.segment_bytes, source.size - index.header.segment_bytes)
    file.write(compressor.compress(end))
    table = pack_index(SegmentIndex(replace(index.header, packed_bytes=at), entries))
    size = len(header) + len(table) + FOOTER_BYTES
    file.write(SkippableHead(SKIPPABLE_MAGIC, size).pack() + header + table)
    file.write(PackedFooter(SkippableHead.layout.size + size, FOOTER_MAGIC).pack())


def read_exactly(source: RawSegment, offset: int, size: int) -> bytes:
    """`size` bytes from `offset` on.

    Raises:
        JournalError: the segment is shorter.
    """
    room = np.zeros(size, np.uint8)
    found = source.read_at(offset, room)
    if found != size:
        raise JournalError(f"expected {size} bytes at byte {offset} of a segment, found {found}")
    return room.tobytes()


def read_packed_header(file: BinaryIO) -> bytes:
    """The SegmentHeader of a packed segment: from its first frame, or where that is damaged from its trailer.

    Of a file that is no packed segment: its first bytes, whatever they are.
    """
    data = os.pread(file.fileno(), HEADER_FRAME_BYTES, 0)
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    try:
        begin = decoder.decompress(data)[:HEADER_BYTES]
    except zstandard.ZstdError:
        begin = b""
    if len(begin) == HEADER_BYTES:
        return begin
    trailer = read_trailer(file)
    return trailer[SkippableHead.layout.size : TRAILER_BEGIN] if trailer else begin or data[:HEADER_BYTES]


def read_trailer(file: BinaryIO) -> bytes:
    """The trailer of a packed segment without its footer; empty if the footer is damaged or missing."""
    size = os.fstat(file.fileno()).st_size
    if size < FOOTER_BYTES:
        return b""
    footer = PackedFooter.unpack(os.pread(file.fileno(), FOOTER_BYTES, size - FOOTER_BYTES))
    if footer.magic != FOOTER_MAGIC or not TRAILER_BEGIN + FOOTER_BYTES <= footer.trailer_bytes <= size:
        return b""
    return os.pread(file.fileno(), footer.trailer_bytes - FOOTER_BYTES, size - footer.trailer_bytes)


def packed_index(file: BinaryIO, ordinal: int) -> SegmentIndex | None:
    """The index in the trailer of packed segment `ordinal`; None if the trailer is damaged."""
    return unpack_index(read_trailer(file)[TRAILER_BEGIN:], ordinal)


class PackedBytes(OpenedSegment):
    """Random access to the raw bytes of the packed segment in `file`, which is closed with it."""

    def __init__(self, path: Path, file: BinaryIO, ordinal: int) -> None:
        super().__init__(path, file)
        self.index = packed_index(file, ordinal)
        """None if the trailer is damaged; blocks are found without it."""
        self.blocks = list(blocks_of(self.index)) if self.index else find_blocks(file)
        self.records_end = self.index.header.segment_bytes if self.index else end_of(self.blocks)
        """Where the END record stands in the raw segment."""
        self._offsets = np.array([block.offset for block in self.blocks], np.int64)
        self._held: tuple[int, Bytes] = (-1, np.empty(0, np.uint8))

    @property
    def size(self) -> int:
        """Bytes of the raw segment."""
        return self.records_end + HEAD_BYTES

    def read_at(self, offset: int, into: Bytes) -> int:
        """Copy raw bytes from `offset` on into `into`: the rest of a block, and whole blocks as long as they fit.

        Returns how many; 0 at a damaged block, and at the END record, which the trailer stands for.
        """
        number = self._block_at(offset)
        filled = 0
        while 0 <= number < len(self.blocks):
            block = self.blocks[number]
            if offset >= block.end or (filled and block.end - offset > into.size - filled):
                break
            unpacked = self._unpack(number)
            if unpacked is None:
                break
            part = unpacked[offset - block.offset :][: into.size - filled]
            into[filled : filled + part.size] = part
            filled += part.size
            offset += part.size
            number += 1
        return filled

    def boundary(self, offset: int) -> RecordPlace | None:
        """Where the next block begins, or the END record; None if that is not known."""
        if self.index:
            return self.index.behind(offset)
        block = self.block_at(offset)
        return RecordPlace(block.end, block.next_sequence, 0) if block and block.next_sequence else None

    def block_at(self, offset: int) -> PackedBlock | None:
        """The block in which raw byte `offset` stands."""
        number = self._block_at(offset)
        return self.blocks[number] if number >= 0 and offset < self.blocks[number].end else None

    def _block_at(self, offset: int) -> int:
        return int(np.searchsorted(self._offsets, offset, side="right")) - 1

    def _unpack(self, number: int) -> Bytes | None:
        if self._held[0] == number:
            return self._held[1]
        block = self.blocks[number]
        try:
            data = os.pread(self._file.fileno(), block.packed_end - block.packed, block.packed)
        except OSError as error:
            raise JournalError(f"{self.path}: cannot read at byte {block.packed} ({error.strerror})") from error
        unpacked = unpack_frame(data, block.end - block.offset)
        if unpacked is not None:
            self._held = number, unpacked
        return unpacked


def blocks_of(index: SegmentIndex) -> Iterator[PackedBlock]:
    """The blocks that an index lists."""
    head, entries = index.header, index.entries
    packed = [*entries["packed"].tolist(), head.packed_bytes]
    offsets = [*entries["offset"].tolist(), head.segment_bytes]
    sequences = [*entries["sequence"].tolist(), head.next_sequence]
    for i in range(entries.size):
        yield PackedBlock(packed[i], packed[i + 1], offsets[i], offsets[i + 1], sequences[i], sequences[i + 1])


def end_of(blocks: list[PackedBlock]) -> int:
    """Where the records end in the raw segment."""
    return blocks[-1].end if blocks else HEADER_BYTES
