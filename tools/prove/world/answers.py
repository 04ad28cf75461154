"""The ways in which an answer can be wrong: each takes a question and a backend's view, and gives what is said instead.

Owns the lies.  Each is of a kind of `tools.prove.world.faults`; when it is told is drawn there.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tlv.units import NS
from tools.prove.world.backend import Result, View, early_header, header_of, list_of, select
from tools.prove.world.chain import FIRST_NUMBER, Emitted, Mined, shows_loss
from tools.prove.world.faults import FaultPlan
from tools.prove.world.refusals import WORDINGS

BLOCKS = ("eth_getBlockByHash", "eth_getBlockByNumber")
FAR_RANGE = 5
"""Blocks; more are refused where ranges are."""
MUCH = 12
"""Logs; an answer with more is too large where sizes are limited."""
ONE_BROKEN_IN = 8
"""Blocks, of those that no endpoint can read."""
ASTRAY_NS = 3 * NS
"""How long a backend shows another chain's early block and id; a node that goes on is another chain's."""
ASTRAY_AGAIN_NS = 20 * NS
METHODS: dict[str, tuple[str, ...]] = {
    "null": (*BLOCKS, "eth_getLogs", "eth_call"),
    "unknown_block": (*BLOCKS, "eth_getLogs", "eth_call"),
    "empty_call": ("eth_call",),
    "empty_logs": ("eth_getLogs",),
    "partial_logs": ("eth_getLogs",),
    "other_branch": ("eth_getBlockByNumber", "eth_getLogs", "eth_call"),
    "stale_head": ("eth_getBlockByNumber", "eth_blockNumber"),
    "rate": (*BLOCKS, "eth_getLogs", "eth_call", "eth_blockNumber"),
    "range": ("eth_getLogs",),
    "size": ("eth_getLogs",),
    "policy": ("eth_getLogs",),
    "transient": (*BLOCKS, "eth_getLogs", "eth_call", "eth_blockNumber"),
    "pruned": ("eth_call",),
    "early_block": ("eth_getBlockByNumber", "eth_chainId"),
    "chain_id_refused": ("eth_chainId",),
    "hollow": ("eth_call",),
    "no_hash_calls": ("eth_call",),
    "no_hash_logs": ("eth_getLogs",),
}
"""Which questions each lie is an answer to, in the order in which the lies are tried."""


class Liar:
    """What one endpoint says instead of the truth."""

    def __init__(self, faults: FaultPlan) -> None:
        self._faults = faults
        self._astray_ns = -ASTRAY_AGAIN_NS
        """Since when another chain is shown."""
        self._active = [kind for kind in METHODS if kind in faults]
        self._breaks_headers = "broken_blocks" in faults and faults.rng("broken_blocks").random() < 0.5

    def instead(self, method: str, params: list[Any], view: View, now_ns: int) -> tuple[str, Result] | None:
        """The lie and its name; None for the truth."""
        if "broken_blocks" in self._faults and self._is_broken(method, params, view, now_ns):
            return "broken_blocks", WORDINGS["transient"][0]
        for kind in self._active:
            if method in METHODS[kind] and self._faults.strikes(kind, now_ns):
                said = self._say(kind, method, params, view, now_ns)
                if said is not None:
                    return kind, said
        return None

    def _is_broken(self, method: str, params: list[Any], view: View, now_ns: int) -> bool:
        """Whether it is about a block that no endpoint can read at present."""
        if self._faults.window("broken_blocks", now_ns) is None:
            return False
        if method == "eth_getLogs":
            blocks = _blocks(params[0], view)
        elif method in BLOCKS and self._breaks_headers and params[0] != "latest":
            block = view.known(params[0]) if method == "eth_getBlockByHash" else view.at(params[0])
            blocks = [block] if block is not None else []
        else:
            return False
        return any(int(block.hash[2:6], 16) % ONE_BROKEN_IN == 0 for block in blocks)

    def _say(self, kind: str, method: str, params: list[Any], view: View, now_ns: int) -> Result | None:
        rng = self._faults.rng(kind)
        match kind:
            case "null":
                if method != "eth_getLogs":
                    return "null"
                return "null" if self._short("empty_logs", params, view, rng) == list_of([]) else None
            case "empty_call":
                return '"0x"'
            case "empty_logs" | "partial_logs":
                return self._short(kind, params, view, rng)
            case "other_branch":
                return _of_another_branch(method, params, view)
            case "stale_head":
                head = view.head.ancestor(max(view.head.number - rng.randrange(1, 20), FIRST_NUMBER))
                if head is None or (method == "eth_getBlockByNumber" and params[:1] != ["latest"]):
                    return None
                return f'"{head.number:#x}"' if method == "eth_blockNumber" else header_of(head)
            case "range":
                wanted = params[0]
                if "blockHash" in wanted or int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) < FAR_RANGE:
                    return None
            case "size":
                if len(_honest_logs(params, view)) <= MUCH:
                    return None
            case "policy":
                if params[0].get("address"):
                    return None
            case "no_hash_calls" | "no_hash_logs":
                by_hash = isinstance(params[-1], dict) and "blockHash" in params[-1]
                return rng.choice(WORDINGS["unsupported"]) if by_hash else None
            case "hollow":
                block = view.named(params[1])
                return view.call(params[0], block, hollow=True) if block is not None else None
            case "early_block":
                if method != "eth_chainId" and params[0] != "0x0":
                    return None
                if now_ns - self._astray_ns >= ASTRAY_AGAIN_NS:
                    self._astray_ns = now_ns
                astray = now_ns - self._astray_ns < ASTRAY_NS
                other = '"0x1e1"' if method == "eth_chainId" else early_header(view.tree, "0x" + "e1" * 32)
                return other if astray else None
            case "chain_id_refused":
                return rng.choice(WORDINGS["transient"])
            case _:
                pass
        return rng.choice(WORDINGS[kind])

    def _short(self, kind: str, params: list[Any], view: View, rng: Random) -> Result | None:
        """A list that lacks logs, so that this can be seen by whoever has the headers."""
        wanted = params[0]
        blocks = _blocks(wanted, view)
        whole = not wanted.keys() & {"topics", "address"}
        kept = []
        for block in blocks:
            logs = select(block.logs, wanted)
            left = [] if kind == "empty_logs" else [log for log in logs if rng.random() < 0.6]
            shows = shows_loss(block, left, logs, indices=whole, bloom=self._faults.bloom_is_honest)
            kept += left if shows else logs
        return list_of(kept)


def _blocks(wanted: dict[str, Any], view: View) -> list[Mined]:
    if "blockHash" in wanted:
        block = view.known(wanted["blockHash"])
        return [block] if block is not None else []
    low, high = view.at(wanted.get("fromBlock")), view.at(wanted.get("toBlock")) or view.head
    return list(view.head.branch(low.number, high.number)) if low is not None else []


def _honest_logs(params: list[Any], view: View) -> list[Emitted]:
    return select([log for block in _blocks(params[0], view) for log in block.logs], params[0])


def _sibling(block: Mined, view: View) -> Mined | None:
    """A block of the same number on another branch."""
    for other in view.tree.blocks.values():
        if other.number == block.number and other is not block and other.born_ns <= view.at_ns:
            return other
    return None


def _of_another_branch(method: str, params: list[Any], view: View) -> Result | None:
    """The answer as it would be on another branch; None if there is none, or the question names a hash."""
    if method == "eth_getLogs":
        wanted = params[0]
        blocks = [_sibling(block, view) or block for block in _blocks(wanted, view)]
        if not any(view.head.ancestor(block.number) is not block for block in blocks):
            return None
        return list_of(select([log for block in blocks for log in block.logs], wanted))
    where = params[0] if method == "eth_getBlockByNumber" else params[1]
    block = view.at(where) if isinstance(where, str) else None
    other = _sibling(block, view) if block is not None else None
    if other is None:
        return None
    return header_of(other) if method == "eth_getBlockByNumber" else view.call(params[0], other)
