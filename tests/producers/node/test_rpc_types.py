"""The border: every spelling of a value becomes one, and what is no value is refused by member and kind (row 42)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from producers.node.jsonrpc import HEAD, HEAD_OR_NULL, LOG, LOG_NOTICE, LOGS, JsonRpc, Rejection
from producers.node.rpc_types import Head, Log, Unfit, has_capitals, in_lower_case, read_number

LOG_ = {
    "address": "0x" + "ab" * 20,
    "topics": ["0x" + "cd" * 32, "0x" + "0e" * 32],
    "data": "0x" + "0f" * 32,
    "blockNumber": "0x2a",
    "transactionHash": "0x" + "ba" * 32,
    "transactionIndex": "0x0",
    "blockHash": "0x" + "dc" * 32,
    "logIndex": "0x7",
    "removed": False,
    "blockTimestamp": "0x6b03481a",
}
HEAD_ = {
    "number": "0x2a",
    "hash": "0x" + "dc" * 32,
    "parentHash": "0x" + "ef" * 32,
    "timestamp": "0x6b03481a",
    "logsBloom": "0x" + "00" * 256,
    "baseFeePerGas": "0x7",
    "gasUsed": "0x0",
    "gasLimit": "0x1c9c380",
}


def capitals(value: Any) -> Any:
    if isinstance(value, list):
        return [capitals(item) for item in value]
    return "0x" + value[2:].upper() if isinstance(value, str) else value


LOG_SPELLINGS = {
    "as usual": {},
    "in capitals": {name: capitals(value) for name, value in LOG_.items()},
    "an EIP-55 address": {"address": "0x" + "aB" * 20},
    "numbers as integers": {"blockNumber": 42, "logIndex": 7, "transactionIndex": 0, "blockTimestamp": 0x6B03481A},
    "the timestamp as an integer": {"blockTimestamp": 0x6B03481A},
    "numbers as decimal text": {"blockNumber": "42", "logIndex": "7", "transactionIndex": "0"},
    "leading zeros": {"blockNumber": "0x002a", "logIndex": 7},
    "0x as zero": {"transactionIndex": "0x", "logIndex": 7},
    "hashes without 0x": {"blockHash": "dc" * 32, "address": "ab" * 20, "logIndex": 7},
    "members that nobody asked for": {"extra": [1, {"a": None}], "l1BlockNumber": 5},
}


@pytest.mark.parametrize("members", LOG_SPELLINGS.values(), ids=LOG_SPELLINGS)
def test_log_in_any_spelling_is_the_same(members: dict[str, Any]) -> None:
    usual = LOG.decode(msgspec.json.encode(LOG_))
    text = msgspec.json.encode({**LOG_, **members})
    read = LOG.decode(text)
    assert read == usual or (read.data and read.data.lower()) == usual.data
    assert in_lower_case(read) == read
    assert LOGS.decode(b"[" + text + b"]") == [read]
    for name in ("block_number", "log_index", "transaction_index", "block_timestamp"):
        assert read_number(getattr(read, name)) == read_number(getattr(usual, name))
    assert (read.address, read.topics, read.block_hash, read.transaction_hash) == (
        *(usual.address, usual.topics, usual.block_hash, usual.transaction_hash),
    )


@pytest.mark.parametrize(
    "member", ["topics", "data", "blockNumber", "blockHash", "logIndex", "removed", "blockTimestamp"]
)
def test_log_without_a_member_or_with_null_is_read(member: str) -> None:
    with_null = LOG.decode(msgspec.json.encode({**LOG_, member: None}))
    without = LOG.decode(msgspec.json.encode({name: value for name, value in LOG_.items() if name != member}))
    assert with_null == without


@pytest.mark.parametrize(
    ("member", "value", "kind"),
    [
        ("address", None, "missing"),
        ("address", 7, "a number"),
        ("topics", "0x", "a text of 2 characters"),
        ("topics", {}, "an object"),
        ("topics", [["0x"]], "a list"),
        ("blockNumber", True, "a boolean"),
        ("blockNumber", 1.5, "a fraction"),
        ("blockNumber", -1, "a number that does not fit 63 bits"),
        ("blockTimestamp", 1 << 63 << 1 >> 1, ""),
        ("blockTimestamp", [], "a list"),
        ("logIndex", {}, "an object"),
        ("removed", "no", "a text of 2 characters"),
    ],
)
def test_log_with_a_value_of_another_kind_is_refused_by_its_member(member: str, value: Any, kind: str) -> None:
    text = msgspec.json.encode({**LOG_, member: value})
    if not kind:
        assert LOG.decode(text).block_timestamp == hex(value)
        return
    with pytest.raises(Unfit) as refused:
        LOG.decode(text)
    assert (refused.value.member, refused.value.kind) == (member, kind)


@pytest.mark.parametrize(
    ("member", "value", "kind"),
    [
        ("hash", "0x" + "ab" * 31, "a text of 64 characters"),
        ("hash", "0x" + "ab" * 33, "a text of 68 characters"),
        ("hash", "0x" + "zz" * 32, "a text of 66 characters"),
        ("parentHash", None, "missing"),
        ("parentHash", 5, "a number"),
        ("number", None, "missing"),
        ("number", hex(1 << 63), "a number that does not fit 63 bits"),
        ("number", hex(1 << 256), "a number that does not fit 63 bits"),
        ("number", "0x" + "1" * 100_000, "a text of 100002 characters"),
        ("number", "1" * 100_000, "a text of 100000 characters"),
        ("number", "0x-1", "a text of 4 characters"),
        ("number", "0x_1", "a text of 4 characters"),
        ("timestamp", hex(1 << 63), "a number that does not fit 63 bits"),
        ("gasUsed", hex(1 << 64), "a number that does not fit 64 bits"),
        ("gasLimit", "much", "a text of 4 characters"),
        ("baseFeePerGas", hex(1 << 256), "a number that does not fit 256 bits"),
    ],
)
def test_head_that_cannot_be_is_refused_by_its_member(member: str, value: Any, kind: str) -> None:
    with pytest.raises(Unfit) as refused:
        HEAD.decode(msgspec.json.encode({**HEAD_, member: value}))
    assert (refused.value.member, refused.value.kind) == (member, kind)


def test_head_with_a_number_of_100_000_digits_is_refused_and_not_converted() -> None:
    text = msgspec.json.encode(HEAD_).replace(b'"number":"0x2a"', b'"number":1' + b"0" * 100_000)
    with pytest.raises(msgspec.DecodeError):
        HEAD.decode(text)


@pytest.mark.parametrize(
    "members",
    [
        {name: capitals(value) for name, value in HEAD_.items()},
        {"number": 42, "timestamp": 0x6B03481A, "gasLimit": 30_000_000, "gasUsed": 0, "baseFeePerGas": 7},
        {"gasUsed": "0x", "nonce": None, "withdrawals": []},
        {"hash": "dc" * 32},
    ],
)
def test_head_in_any_spelling_is_the_same(members: dict[str, Any]) -> None:
    usual = HEAD.decode(msgspec.json.encode(HEAD_))
    assert HEAD.decode(msgspec.json.encode({**HEAD_, **members})) == usual
    assert HEAD_OR_NULL.decode(msgspec.json.encode({**HEAD_, **members})) == usual


def test_null_is_no_head_and_no_logs() -> None:
    assert HEAD_OR_NULL.decode(b" null ") is None
    assert LOGS.decode(b"null") == []
    with pytest.raises(msgspec.DecodeError):
        HEAD.decode(b"null")
    with pytest.raises(Unfit):
        LOGS.decode(b'"none"')


def test_capitals_are_seen_where_they_may_matter() -> None:
    text = msgspec.json.encode(LOG_)
    assert not has_capitals(b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"result":' + text + b"}}")
    for letter in "ABCDEF":
        assert has_capitals(text.replace(b"0xabab", f"0x{letter}bab".encode()))


def test_notice_in_the_usual_spelling_takes_the_short_way() -> None:
    text = msgspec.json.encode({"params": {"subscription": "0x1", "result": LOG_}})
    assert LOG_NOTICE.decode(text).params.result == LOG.decode(msgspec.json.encode(LOG_))


def test_rejection_names_member_and_kind_once_and_counts_each() -> None:
    rpc = JsonRpc()
    for _ in range(3):
        try:
            LOG.decode(msgspec.json.encode({**LOG_, "blockTimestamp": []}))
        except Unfit as error:
            rpc.reject(Rejection.BAD_LOG, error)
    assert rpc.rejected == {Rejection.BAD_LOG: 3}
    assert rpc.unfit == {"bad_log: blockTimestamp is a list": 3}
    assert [remark.words for remark in rpc.take_remarks()] == [
        "a message cannot be used: blockTimestamp is a list (bad_log)"
    ]
    assert rpc.take_remarks() == []


def test_defaults_of_the_types_are_those_of_missing_members() -> None:
    assert LOG.decode(b'{"address":"0x' + b"ab" * 20 + b'"}') == Log("0x" + "ab" * 20)
    least = {name: HEAD_[name] for name in ("number", "hash", "parentHash")}
    assert HEAD.decode(msgspec.json.encode(least)) == Head(*map(str, least.values()))
