"""The requests of a client at a moment of the recording: blocks, logs, contract calls.

Owns the read-only methods of the node.  It must never know of clients, subscriptions or time: it answers from the chain
as it is at that moment.

Where nothing was recorded it says what a node says that has nothing: null for a block, no logs for a range,
"missing trie node" for a call.  It does not invent a revert: only a call that is known to be refused is.  Of blocks
between those that were recorded, and of parents of recorded blocks, it says that it has that history no more (code
4444, EIP-4444): null would mean "not yet".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from tools.recording.blocks import RecordedBlock
from tools.recording.chain import VisibleChain
from tools.recording.contracts import REVERTS
from tools.recording.filters import AnyCaseAddress, AnyCaseHash, BlockTag, FilterParams, LogFilter, log_filter
from tools.recording.recording import Recording
from tools.recording.rpc import INVALID_PARAMS, METHOD_NOT_FOUND, PRUNED, REVERTED, SERVER_ERROR, AnswerError

CLIENT_VERSION = "alphapulse-recording-node"
LONGEST_HOLE = 4096

Params = list[Any]
T = TypeVar("T")


class CallParams(Struct, frozen=True):
    """The transaction object of `eth_call`; `input` is the newer name of `data`."""

    to: AnyCaseAddress
    data: Annotated[str, Meta(pattern=r"^0x([0-9a-fA-F]{2})*\Z")] | None = None
    input: Annotated[str, Meta(pattern=r"^0x([0-9a-fA-F]{2})*\Z")] | None = None


class Queries:
    """The read-only methods over one recording; the owner of `chain` moves its head."""

    def __init__(self, recording: Recording, chain: VisibleChain, once_had: int | None = None) -> None:
        """`once_had` is the number of the first block that the node ever had, if the recording has it no more."""
        self._recording = recording
        self._chain = chain
        self._refusals_left = dict(recording.unknown_answers)
        blocks = recording.blocks
        numbers = {block.number for block in blocks.values()}
        self._pruned_hashes = {block.parent_hash for block in blocks.values()} - blocks.keys()
        self._pruned_numbers = holes_between(numbers)
        self._forgotten = range(recording.lowest if once_had is None else once_had, recording.lowest)
        self._methods: dict[str, Callable[[Params], bytes]] = {
            "eth_chainId": lambda params: _json(hex(recording.chain_id)),
            "net_version": lambda params: _json(str(recording.chain_id)),
            "web3_clientVersion": lambda params: _json(f"{CLIENT_VERSION}/{recording.name}"),
            "eth_blockNumber": lambda params: _json(hex(chain.head.number)),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getLogs": self._logs,
            "eth_call": self._call,
        }

    def answer(self, method: str, params: Params) -> bytes:
        """The JSON text of the result of `method`.

        Raises:
            AnswerError: there is no such method, its parameters are wrong, or a node would fail here.
        """
        asked = self._methods.get(method)
        if asked is None:
            raise AnswerError(METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")
        return asked(params)

    def _block_by_number(self, params: Params) -> bytes:
        number = self._number(argument(params, 0, BlockTag))
        block = None if number is None else self._chain.by_number(number)
        if block is None and number is not None and (number in self._pruned_numbers or number in self._forgotten):
            raise AnswerError(PRUNED, "pruned history unavailable")
        return _block_json(block)

    def _block_by_hash(self, params: Params) -> bytes:
        block_hash = argument(params, 0, AnyCaseHash).lower()
        if block_hash in self._pruned_hashes:
            raise AnswerError(PRUNED, "pruned history unavailable")
        return _block_json(self._chain.by_hash(block_hash))

    def _logs(self, params: Params) -> bytes:
        wanted = argument(params, 0, FilterParams)
        passes = log_filter(wanted)
        if wanted.block_hash is None:
            return self._logs_of(self._range(wanted), passes)
        if wanted.from_block is not None or wanted.to_block is not None:
            either = "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
            raise AnswerError(INVALID_PARAMS, f"invalid argument 0: {either}")
        block = self._chain.by_hash(wanted.block_hash.lower())
        if block is None or self._refuses(block):
            raise AnswerError(SERVER_ERROR, "unknown block")
        return self._logs_of([block], passes)

    def _range(self, wanted: FilterParams) -> list[RecordedBlock]:
        first, last = self._number(wanted.from_block or "latest"), self._number(wanted.to_block or "latest")
        if first is None or last is None:
            return []
        if first > last:
            raise AnswerError(INVALID_PARAMS, "invalid block range params")
        return self._chain.between(first, last)

    def _logs_of(self, blocks: list[RecordedBlock], wanted: LogFilter) -> bytes:
        return b"[%b]" % b",".join(
            log.body
            for block in blocks
            for log in self._recording.logs_of(block.hash)
            if wanted.matches(log.address, log.topics)
        )

    def _refuses(self, block: RecordedBlock) -> bool:
        """Whether to answer "unknown block", as the recorded node did: for some blocks a few times, for one always."""
        left = self._refusals_left.get(block.hash, 0)
        if left > 0:
            self._refusals_left[block.hash] = left - 1
        return left > 0

    def _call(self, params: Params) -> bytes:
        call = argument(params, 0, CallParams)
        result = self._recording.call_answers.get((call.to.lower(), (call.input or call.data or "0x").lower()))
        if result is None:
            raise AnswerError(SERVER_ERROR, f"missing trie node {self._chain.head.state_root[2:]} (path )")
        if result == REVERTS:
            raise AnswerError(REVERTED, "execution reverted")
        return _json(result)

    def _number(self, tag: str) -> int | None:
        """The height a block tag stands for; None for a tag about which the recording says nothing."""
        if tag == "latest":
            return self._chain.head.number
        if tag == "earliest":
            return 0
        return int(tag, 16) if tag.startswith("0x") else None


def holes_between(numbers: set[int]) -> set[int]:
    """The numbers below recorded ones, down to the next that was recorded; at most `LONGEST_HOLE` of each hole."""
    holes: set[int] = set()
    lowest = min(numbers, default=0)
    for number in numbers:
        below = number - 1
        while below > lowest and below not in numbers and number - below <= LONGEST_HOLE:
            holes.add(below)
            below -= 1
    return holes


def argument(params: Params, index: int, expected: type[T]) -> T:
    """The parameter at `index`, checked.

    Raises:
        AnswerError: it is missing or not what was expected.
    """
    if len(params) <= index:
        raise AnswerError(INVALID_PARAMS, f"missing value for required argument {index}")
    try:
        return msgspec.convert(params[index], expected)
    except msgspec.ValidationError as error:
        raise AnswerError(INVALID_PARAMS, f"invalid argument {index}: {error}") from error


def _block_json(block: RecordedBlock | None) -> bytes:
    return b"null" if block is None else block.block_json


def _json(value: str) -> bytes:
    return msgspec.json.encode(value)
