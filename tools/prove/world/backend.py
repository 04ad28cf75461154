"""One honest node: what it answers to each question, given how far behind it is.

Owns the methods that a collector may use.  It must never lie: `tools.prove.world.answers` does that.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import Any

from tools.prove.world.chain import FIRST_NUMBER, KEPT, BlockTree, Emitted, Mined
from tools.prove.world.contracts import selector
from tools.prove.world.evm import Ran, run
from tools.prove.world.refusals import BAD_PARAMS, NO_METHOD, REVERTED, WORDINGS, Refused

Result = str | Refused
"""The JSON text of a result, or the error."""
UNKNOWN_BLOCK = WORDINGS["unknown_block"][0]
HEADER_NOT_FOUND = WORDINGS["unknown_block"][1]
STORED = frozenset(
    map(
        selector,
        (
            *("token0()", "token1()", "factory()", "stable()", "tickSpacing()"),
            *("_BASE_TOKEN_()", "_QUOTE_TOKEN_()", "coins(uint256)"),
        ),
    )
)
"""What pools keep where a state that is not there yet is zero."""


class State:
    """The contracts after one block, as a program sees them."""

    def __init__(self, block: Mined, chain_id: int, *, hollow: bool = False) -> None:
        self.hollow = hollow
        """Its contracts have code, and what they should have stored is zero: factories know no pool."""
        self.number, self.timestamp, self.chain_id = block.number, block.timestamp, chain_id
        self._block = block

    def has_code(self, address: bytes) -> bool:
        """Whether there is a contract."""
        return address in self._block.contracts

    def call(self, address: bytes, data: bytes) -> tuple[bool, bytes]:
        """A static call; an address without code succeeds with nothing."""
        contract = self._block.contracts.get(address)
        if contract is None:
            return True, b""
        is_stored = data[:4] in STORED
        output = contract.call(self._block.hash, data, self._block.contracts if is_stored or not self.hollow else ())
        if self.hollow and is_stored and output is not None:
            output = bytes(len(output))
        return output is not None, output or b""

    def hash_at(self, number: int) -> bytes:
        """BLOCKHASH of an ancestor; a block does not know its own."""
        block = self._block.ancestor(number)
        return bytes.fromhex(block.hash[2:]) if block is not None and number < self.number else bytes(32)


@lru_cache(maxsize=512)
def _run(code: bytes, block: Mined, chain_id: int, hollow: bool) -> Ran:
    return run(code, State(block, chain_id, hollow=hollow))


class Timeline:
    """Which block was the head when."""

    def __init__(self, tree: BlockTree) -> None:
        self.tree = tree
        self._times: list[int] = [-(1 << 62)]
        self._heads: list[Mined] = [tree.head]

    def move(self, now_ns: int, head: Mined) -> None:
        """The chain has another head."""
        self._times.append(now_ns)
        self._heads.append(head)
        if len(self._heads) > 2 * KEPT:
            del self._times[:KEPT], self._heads[:KEPT]

    def head_at(self, at_ns: int) -> Mined:
        """The head at some time."""
        return self._heads[bisect_right(self._times, at_ns) - 1]


class View:
    """A backend at one moment: it knows what was there `lag_ns` ago."""

    def __init__(self, timeline: Timeline, chain_id: int, at_ns: int) -> None:
        self.tree, self.chain_id, self.at_ns = timeline.tree, chain_id, at_ns
        self.head = timeline.head_at(at_ns)

    def known(self, block_hash: object) -> Mined | None:
        """The block of this hash, on whatever branch."""
        block = self.tree.blocks.get(block_hash) if isinstance(block_hash, str) else None
        return block if block is not None and block.born_ns <= self.at_ns else None

    def at(self, tag: object) -> Mined | None:
        """The block of a number or tag in its chain."""
        if tag in ("latest", "pending", None):
            return self.head
        if tag in ("safe", "finalized"):
            return self.head.ancestor(max(self.head.number - 32, FIRST_NUMBER))
        if tag == "earliest":
            return self.head.ancestor(FIRST_NUMBER)
        try:
            return self.head.ancestor(int(str(tag), 16))
        except ValueError:
            return None

    def answer(self, method: str, params: list[Any]) -> Result:
        """The honest answer."""
        match method, params:
            case "eth_chainId", _:
                return f'"{self.chain_id:#x}"'
            case "net_version", _:
                return f'"{self.chain_id}"'
            case "web3_clientVersion", _:
                return '"World/v1.0.0"'
            case "eth_syncing", _:
                return "false"
            case "eth_blockNumber", _:
                return f'"{self.head.number:#x}"'
            case "eth_getBlockByNumber", ["0x0", *_]:
                return early_header(self.tree)
            case "eth_getBlockByNumber", [tag, *_]:
                return header_of(self.at(tag))
            case "eth_getBlockByHash", [block_hash, *_]:
                return header_of(self.known(block_hash))
            case "eth_getLogs", [dict(wanted)] if "blockHash" in wanted:
                block = self.known(wanted["blockHash"])
                return UNKNOWN_BLOCK if block is None else list_of(select(block.logs, wanted))
            case "eth_getLogs", [dict(wanted)]:
                first, last = wanted.get("fromBlock", "latest"), wanted.get("toBlock", "latest")
                return list_of(select(self.range(first, last), wanted))
            case "eth_call", [dict(call), where, *_]:
                block = self.named(where)
                return HEADER_NOT_FOUND if block is None else self.call(call, block)
            case "eth_getCode", [str(address), where, *_]:
                block = self.named(where)
                if block is None:
                    return HEADER_NOT_FOUND
                return '"0x60"' if bytes.fromhex(address[2:]) in block.contracts else '"0x"'
            case "eth_call" | "eth_getLogs" | "eth_getCode", _:
                return BAD_PARAMS
            case _:
                return NO_METHOD

    def named(self, where: object) -> Mined | None:
        """The block that an eth_call names (EIP-1898)."""
        if isinstance(where, dict):
            return self.known(where["blockHash"]) if "blockHash" in where else self.at(where.get("blockNumber"))
        return self.at(where)

    def range(self, first: object, last: object) -> list[Emitted]:
        """The logs of its chain between two numbers, as far as it has them."""
        low, high = self.at(first), self.at(last) or self.head
        if low is None and isinstance(first, str) and first.startswith("0x") and int(first, 16) < FIRST_NUMBER:
            low = self.head.path[0]
        if low is None:
            return []
        return [log for block in self.head.branch(low.number, high.number) for log in block.logs]

    def call(self, call: dict[str, Any], block: Mined, *, hollow: bool = False) -> Result:
        """A call of a contract, or of a program that is sent along."""
        data = bytes.fromhex(str(call.get("data") or call.get("input") or "0x")[2:])
        if call.get("to") is None:
            ran = _run(data, block, self.chain_id, hollow)
            ok, output = ran.ok, ran.output
        else:
            ok, output = State(block, self.chain_id, hollow=hollow).call(bytes.fromhex(call["to"][2:]), data)
        return f'"0x{output.hex()}"' if ok else REVERTED


def header_of(block: Mined | None) -> str:
    """A header as result."""
    return block.header if block is not None else "null"


def early_header(tree: BlockTree, block_hash: str = "") -> str:
    """The header of block 0, by which the chain is known; of another hash where one is given."""
    identity = tree.config.identity
    assert identity is not None and identity.number == 0
    header = tree.first.header.replace(tree.first.hash, block_hash or identity.hash)
    return header.replace(f'"number":"{FIRST_NUMBER:#x}"', '"number":"0x0"')


def list_of(logs: list[Emitted]) -> str:
    """Logs as result."""
    return f"[{','.join([log.text for log in logs])}]"


def select(logs: list[Emitted], wanted: dict[str, Any]) -> list[Emitted]:
    """What a filter lets pass."""
    addresses, topics = wanted.get("address"), wanted.get("topics")
    if addresses is not None:
        among = {a.lower() for a in ([addresses] if isinstance(addresses, str) else addresses)}
        logs = [log for log in logs if log.address in among]
    for place, topic in enumerate(topics or []):
        if topic is not None:
            these = {topic} if isinstance(topic, str) else set(topic)
            logs = [log for log in logs if len(log.topics) > place and log.topics[place] in these]
    return logs
