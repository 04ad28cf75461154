"""Which blocks a client can see at this moment.

Owns the view of the chain: by number only the ancestors of the present head, by hash everything that was ever an
ancestor of a head, so that an orphaned block remains fetchable by hash.  It must never know why the head moved.

A recording has holes: blocks that were not recorded.  Where an ancestor is unrecorded the view below it stays as it
was, since the node still had those blocks; only a block that the new chain contradicts is removed.
"""

from __future__ import annotations

from collections.abc import Mapping

from tools.recording.blocks import RecordedBlock


class VisibleChain:
    """The chain that the recorded node has at one moment; `adopt` moves its head."""

    def __init__(self, blocks: Mapping[str, RecordedBlock], first_head: str) -> None:
        self._blocks = blocks
        self._by_number: dict[int, RecordedBlock] = {}
        self._known: set[str] = set()
        self.head = blocks[first_head]
        self.adopt(first_head)

    def know(self, blocks: Mapping[str, RecordedBlock]) -> None:
        """Have these blocks and no others; of the chain, what is not among them is forgotten."""
        self._blocks = blocks
        self._by_number = {number: block for number, block in self._by_number.items() if block.hash in blocks}
        self._known &= blocks.keys()

    def adopt(self, head: str) -> None:
        """Make `head` the newest block: its recorded ancestors become the chain, what was above it is gone."""
        self.head = block = self._blocks[head]
        for number in [number for number in self._by_number if number > block.number]:
            del self._by_number[number]
        while self._by_number.get(block.number) is not block:
            self._by_number[block.number] = block
            self._known.add(block.hash)
            parent = self._blocks.get(block.parent_hash)
            if parent is None:
                contradicted = self._by_number.get(block.number - 1)
                if contradicted is not None:
                    del self._by_number[contradicted.number]
                return
            block = parent

    def by_number(self, number: int) -> RecordedBlock | None:
        """The block of that height in the present chain."""
        return self._by_number.get(number)

    def by_hash(self, block_hash: str) -> RecordedBlock | None:
        """The block of that hash, if it was in the chain at any moment until now."""
        return self._blocks[block_hash] if block_hash in self._known else None

    def between(self, first: int, last: int) -> list[RecordedBlock]:
        """The blocks of the present chain from `first` to `last`, both included, in order."""
        return [self._by_number[number] for number in sorted(self._by_number) if first <= number <= last]
