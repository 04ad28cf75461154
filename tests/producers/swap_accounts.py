"""The account of swaps that a stream of messages gives, held against the recorded logs themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from producers.kinds.events import EVENT_OF_TOPIC
from tlv.layout import BlockEnd, PoolSwap
from tlv.message import parse
from tools.coverage.account import SwapAccount
from tools.recording.blocks import RecordedLog

SWAP_TOPICS = {topic for topic, event in EVENT_OF_TOPIC.items() if event.record is PoolSwap}


def account_of(payloads: Iterable[bytes]) -> SwapAccount:
    """The account of a whole stream."""
    account = SwapAccount()
    for payload in payloads:
        account.take(parse(payload, verify=False))
    account.close()
    return account


def assert_no_swap_is_uncounted(payloads: Sequence[bytes], logs: Mapping[str, Sequence[RecordedLog]]) -> SwapAccount:
    """Each end counts its block's swaps, of which each is published or said to be not."""
    account = account_of(payloads)
    assert account.uncounted == 0, account.miscounted
    ends = (parse(payload, verify=False).records[0] for payload in payloads)
    told = {f"0x{end.hash.hex()}": end.swap_count for end in ends if isinstance(end, BlockEnd)}
    assert told == {block_hash: swaps_in(logs.get(block_hash, ())) for block_hash in told}
    return account


def swaps_in(logs: Iterable[RecordedLog]) -> int:
    """How many of these logs have a swap's topic."""
    return sum(bool(log.topics) and log.topics[0] in SWAP_TOPICS for log in logs)
