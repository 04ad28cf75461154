"""Which head comes after which: announced heads, each adopted once its parents are known.

Owns the queue of heads and the search for parents.  It must never know logs or messages: `follow` yields what the
adoption of each head changes, and headers that were fetched arrive as values (`producers.blocks.arrivals`).

    announce --> queue --> parents known? --yes--> adopt --> Switch; what was announced before and is no higher goes
                   ^            | no
                   +-- found ---+--> seek the parent, 30 s --missing--> does the node have the head in its chain?
                                     (heads behind it go on after 1 s)    no:  it left the head behind: dropped,
                                                                               unless it has no block below it either
                                                                          yes: a root: which blocks below it stand?

At most MOST_SOUGHT parents are sought, and MOST_HEADS heads wait: what waits for the oldest is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from producers.blocks.arrivals import Arrivals, ParentSettled
from producers.blocks.block import MAX_NUMBER, Block
from producers.blocks.chain import Chain, Misnumbered, Missing, Switch
from producers.blocks.parents import ParentFetcher
from producers.context import Context
from producers.node.jsonrpc import Rejection
from producers.node.node_height import STANDS, AtHeight, NodeHeight
from producers.node.rpc_types import Unfit
from tlv.units import NS

DEEPEST_WALK = 4096
"""Parents fetched for one head: two hours of Polygon.  What is older becomes a Gap."""
MOST_SOUGHT = 64
MOST_HEADS = 1024
IN_ORDER_NS = NS
"""How long heads wait for one before them whose parents are sought."""


class HeadQueue:
    """The heads of one chain, in the order in which the node had them as its newest block."""

    def __init__(self, context: Context, chain: Chain, arrivals: Arrivals) -> None:
        self._chain, self._arrivals = chain, arrivals
        self._rpc, self._stats = context.rpc, context.stats
        self._clock, self._timers = context.clock, context.timers
        self.in_doubt = False
        """Pushed heads wait while the node is asked which chain it serves: nothing else may lead to others."""
        self._heads: list[Block] = []
        self._overtaken: set[str] = set()
        """Hashes of heads that wait, and since whose announcement a later one was adopted."""
        self._seeking: dict[str, Missing] = {}
        """By the hash of the parent."""
        self._missed: dict[str, Missing] = {}
        """Of these, the parents that cannot be had."""
        self._parents = ParentFetcher(context, arrivals, self._on_parent_missing)
        self._node_height = NodeHeight(context.rpc)
        self._rings = False
        """A timer is set."""

    def __len__(self) -> int:
        return len(self._heads)

    def announce_new(self, block: Block) -> None:
        """Queue a head whose block was not known before."""
        self._heads.append(block)
        if len(self._heads) > MOST_HEADS:
            self._stats.dropped_heads += 1
            self._drop(self._heads[0])

    def announce_again(self, block: Block) -> bool:
        """Queue a head whose block was known: the chain came back to it.  False if it says nothing new."""
        newest = self._heads[-1] if self._heads else self._chain.head
        returns = newest is None or (block.number >= newest.number and not self._chain.is_canonical(block))
        if block in self._heads or not returns:
            return False
        self.announce_new(block)
        return True

    def follow(self) -> Iterator[Switch]:
        """Adopt the announced heads, as far as their parents are known; seeks the parents that are not."""
        waiting = 0
        while waiting < len(self._heads):
            head = self._heads[waiting]
            end = self._chain.end_of(head)
            if end is not None and end.hash in self._seeking:
                waiting += 1
                continue
            if head.number <= self._chain.told or self._chain.is_canonical(head):
                del self._heads[waiting]
                continue
            is_young = waiting > 0 and self._clock.now_ns - self._heads[waiting - 1].arrived_ns < IN_ORDER_NS
            if head.parent_hash in self._seeking:
                waiting += 1
                continue
            branch = self._chain.branch(head, DEEPEST_WALK)
            if isinstance(branch, Misnumbered):
                self._refuse(head, branch.block)
            elif head.hash in self._overtaken and not isinstance(branch, Missing) and not self._continues(branch):
                self._drop(head)  # the chain left it for the later one
            elif isinstance(branch, Missing):
                self._seek(branch)
                waiting += 1
            elif is_young or (waiting and branch[0].root):
                waiting += 1  # a hole is declared once it is known what of the heads before stands below it
            else:
                self._take_out(head)
                for older in self._heads[:waiting]:
                    if older.number <= head.number:
                        self._drop(older)
                    else:
                        self._overtaken.add(older.hash)
                waiting = 0
                yield self._chain.adopt(branch)
        if self._missed:
            self._judge_first()

    def fetched(self, block: Block) -> bool:
        """Take a block whose header was fetched; whether `follow` may get further with it."""
        sought = self._seeking.pop(block.hash, None)
        if sought is not None:
            further = self._chain.needs(block, sought.depth + 1)
            fits = block.number == sought.child.number - 1
            if fits and further is not None and further.depth < DEEPEST_WALK:
                self._seek(further)
                return False
            return True
        head = self._chain.head
        if block.pushed and not (self._heads or self.in_doubt) and head is not None and block.number > head.number:
            self._heads.append(block)  # its logs were pushed, so the node has it in its chain, and its parents
            return True
        return False

    def disconnected(self) -> None:
        """No answer comes any more.  The heads stay: whether the node still has them, it will be asked."""
        self._seeking.clear()
        self._missed.clear()
        self._parents.disconnected()

    def seek_missing(self, block_hash: str, number: int) -> None:
        """Logs came for a block that was not announced: ask for it, unless heads are waiting anyway."""
        if not (self._seeking or self.in_doubt) and block_hash not in self._chain.blocks:
            self._parents.seek(block_hash, number, None)

    def _continues(self, branch: list[Block]) -> bool:
        head = self._chain.head
        return head is not None and branch[0].parent_hash == head.hash

    def _seek(self, missing: Missing) -> None:
        if missing.hash in self._seeking:
            return
        top = self._chain.head.number if self._chain.head is not None else None
        self._parents.seek(missing.hash, missing.child.number - 1, top)
        self._seeking[missing.hash] = missing
        if not self._rings:
            self._rings = True
            self._timers.after(IN_ORDER_NS, self._ring)
        if len(self._seeking) > MOST_SOUGHT:
            self._drop_branch(next(iter(self._seeking.values())))

    def _ring(self) -> None:
        """Look again: heads may have waited for one before them for long enough."""
        self._rings = False
        self._arrivals.append(ParentSettled())

    def _refuse(self, head: Block, wrong: Block) -> None:
        """A block's number is not its parent's + 1: nothing that stands on it is followed."""
        self._rpc.reject(Rejection.BAD_HEAD, Unfit("number", "not that of its parent and 1"))
        self._drop(head)
        self._chain.drop(wrong)

    def _take_out(self, head: Block) -> None:
        self._heads.remove(head)
        self._overtaken.discard(head.hash)

    def _drop(self, head: Block) -> None:
        """No head any more, and no known block, should its parents not be known."""
        self._take_out(head)
        for missing in self._seeking.values():
            if missing.child is head:
                self._forget_search(missing)
                self._chain.drop(head)
                break

    def _drop_branch(self, missing: Missing) -> None:
        """Give up everything that waits for this parent."""
        heads = [head for head in self._heads if self._waits_for(head, missing)]
        self._forget_search(missing)
        self._stats.dropped_heads += len(heads)
        for head in heads:
            self._take_out(head)
            self._chain.drop(head)

    def _waits_for(self, head: Block, missing: Missing) -> bool:
        """Whether the branch of a head ends at this parent, for which child ever it was sought first."""
        block: Block | None = head
        while block is not None and block.parent_hash != missing.hash:
            block = self._chain.blocks.get(block.parent_hash) if block.number > missing.child.number else None
        return block is not None

    def _on_parent_missing(self, block_hash: str) -> None:
        missing = self._seeking.get(block_hash)
        if missing is not None:
            self._missed[block_hash] = missing
            self._judge_first()

    def _judge_first(self) -> None:
        """Find out about the hole below the first head; those below later heads depend on what comes of it."""
        for missing in list(self._missed.values()) if self._heads else ():
            if self._waits_for(self._heads[0], missing):
                del self._missed[missing.hash]
                head = self._heads[0]
                self._node_height.ask(head.number, head.hash, partial(self._judge_head, missing, head))

    def _judge_head(self, missing: Missing, head: Block, has: AtHeight) -> None:
        """A parent cannot be had: is the head still in the node's chain?"""
        if self._seeking.get(missing.hash) is not missing:
            return
        newest = self._chain.head.number if self._chain.head is not None else head.number
        if has is AtHeight.UNSAID and head.number - newest > DEEPEST_WALK:
            has = AtHeight.ABSENT  # so high a number is made up, unless the node shows that block
        if has is AtHeight.ANOTHER:
            below = partial(self._judge_hole, missing, head)
            self._node_height.ask(missing.child.number - 1, missing.hash, below)
        else:
            self._judge_hole(missing, head, AtHeight.ABSENT if has in STANDS else AtHeight.ANOTHER)

    def _judge_hole(self, missing: Missing, head: Block, has: AtHeight) -> None:
        """Where the node has a block, though not ours, nothing is missing: it left the head behind."""
        if self._seeking.get(missing.hash) is not missing:
            return
        if has is AtHeight.ABSENT:
            below = self._chain.segment_below(missing.child.number)
            contradicted = bool(below) and below[-1].number == missing.child.number - 1
            stands_to = below[0].number - 1 if below else MAX_NUMBER
            self._find_standing(missing, below[: len(below) - contradicted], contradicted, stands_to, newest=True)
            return
        self._forget_search(missing)
        if head in self._heads:
            self._drop(head)
        self._arrivals.append(ParentSettled())

    def _find_standing(
        self, missing: Missing, below: list[Block], contradicted: bool, stands_to: int, *, newest: bool = False
    ) -> None:
        """Find the newest of the blocks `below` a new root that the node still has, and all up to `stands_to` are.

        What the node does not show stands, unless the root contradicts the block right below it.
        """
        if not below:
            self._forget_search(missing)
            self._chain.make_root(missing.child, stands_to)
            self._arrivals.append(ParentSettled())
            return
        at = len(below) - 1 if newest else len(below) // 2  # the newest nearly always stands

        def judge(has: AtHeight) -> None:
            if self._seeking.get(missing.hash) is not missing:
                return
            if has in STANDS or (has is AtHeight.ABSENT and not contradicted):
                self._find_standing(missing, below[at + 1 :], contradicted, below[at].number)
            else:
                self._find_standing(missing, below[:at], True, stands_to)

        self._node_height.ask(below[at].number, below[at].hash, judge)

    def _forget_search(self, missing: Missing) -> None:
        self._seeking.pop(missing.hash, None)
        self._missed.pop(missing.hash, None)
        self._parents.drop(missing.hash)
