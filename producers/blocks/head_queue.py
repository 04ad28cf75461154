"""Which head comes after which: announced heads, each adopted once its parents are known.

Owns the queue of heads and the search for parents.  It must never know logs or messages: what the adoption of a head
changes is told to `switch`, and headers that were fetched to `met`.

    announce --> queue --> parents known? --yes--> adopt --> switch
                   ^            | no
                   +-- found ---+--> ask for the parent --missing--> does the node stand on the head?
                                                                       yes: a hole below the head
                                                                       no:  it left the head behind, so that is dropped;
                                                                            unless it has no block below it either
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from producers.blocks.backfill import ParentFetcher
from producers.blocks.chain import Block, Chain, Missing, Switch
from producers.node.jsonrpc import JsonRpc, Rejection
from producers.node.node_height import Footing, Ground
from producers.node.rpc_types import Head
from producers.node.timers import Timers

DEEPEST_WALK = 4096
"""Parents fetched for one head: two hours of Polygon.  What is older becomes a Gap."""


class Succession:
    """The heads of one chain, in the order in which the node stood on them."""

    def __init__(
        self,
        chain: Chain,
        rpc: JsonRpc,
        timers: Timers,
        met: Callable[[Block], None],  # a header came, for a block not known before
        switch: Callable[[Switch], None],
    ) -> None:
        self._chain, self._rpc = chain, rpc
        self._met, self._switch = met, switch
        self._heads: deque[Block] = deque()
        self._seeking: Missing | None = None
        self._parents = ParentFetcher(rpc, timers, self._parent_found, self._parent_missing)
        self._footing = Footing(rpc)

    def __len__(self) -> int:
        return len(self._heads)

    def announce(self, head: Head, *, live: bool) -> bool:
        """Take a head; False if it says nothing new."""
        block = self._chain.blocks.get(head.hash)
        if block is None:
            block = self._meet(head, live=live)
            if block is None:
                return True
        else:
            newest = self._heads[-1] if self._heads else self._chain.head
            returns = newest is not None and block.number >= newest.number and not self._chain.is_canonical(block)
            if block in self._heads or not returns:
                return False
        self._heads.append(block)
        self.follow()
        return True

    def follow(self) -> None:
        """Adopt the announced heads, as far as their parents are known."""
        while self._heads:
            head = self._heads[0]
            if not self._chain.is_canonical(head):
                branch = self._chain.branch(head, DEEPEST_WALK)
                if isinstance(branch, Missing):
                    self._seek(branch)
                    return
                self._switch(self._chain.adopt(branch))
            self._heads.popleft()

    def disconnected(self) -> None:
        """No answer comes any more.  The heads stay: whether the node still stands on them, it will be asked."""
        self._seeking = None

    def seek_stray(self, block_hash: str, number: int) -> None:
        """Logs came for a block that was not announced: ask for it, unless heads are waiting anyway."""
        if self._seeking is None:
            self._parents.seek(block_hash, number, None)

    def _meet(self, head: Head, *, live: bool) -> Block | None:
        """The block of a header; None if that cannot be read."""
        try:
            block = self._chain.add(head, self._rpc.now_ns)
        except ValueError:
            self._rpc.reject(Rejection.BAD_HEAD)
            return None
        block.live = live
        self._met(block)
        return block

    def _seek(self, missing: Missing) -> None:
        if self._seeking is None or self._seeking.hash != missing.hash:
            self._seeking = missing
            top = self._chain.head.number if self._chain.head is not None else None
            self._parents.seek(missing.hash, missing.child.number - 1, top)

    def _parent_found(self, head: Head) -> None:
        block = self._chain.blocks.get(head.hash) or self._meet(head, live=False)
        if block is None or not (self._seeking is None or self._seeking.hash == head.hash):
            return
        self._seeking = None
        head_hash = self._chain.head.hash if self._chain.head is not None else None
        if block.pushed and block.parent_hash == head_hash and not self._heads:
            self._heads.append(block)  # its logs were pushed, so the node stands on it
        self.follow()

    def _parent_missing(self, block_hash: str) -> None:
        missing = self._seeking
        if missing is not None and missing.hash == block_hash:
            head = self._heads[0]
            self._footing.ask(head.number, head.hash, partial(self._judge_head, missing))

    def _judge_head(self, missing: Missing, ground: Ground) -> None:
        """A parent cannot be had: is the head still the node's?"""
        if self._seeking is not missing:
            return
        if ground is Ground.OTHER:
            self._footing.ask(missing.child.number - 1, missing.hash, partial(self._judge_hole, missing))
        else:
            self._judge_hole(missing, Ground.NONE if ground is Ground.SAME else Ground.OTHER)

    def _judge_hole(self, missing: Missing, ground: Ground) -> None:
        """Where the node has a block, though not ours, nothing is missing: it left the head behind."""
        if self._seeking is not missing:
            return
        self._seeking = None
        if ground is Ground.NONE:
            missing.child.root = True
        else:
            self._heads.popleft()
        self.follow()
