"""Refusals are read as their providers mean them, whoever words them otherwise, and never as a revert that is none."""

from __future__ import annotations

import pytest

from producers.node.meanings import PRECEDENCE, meaning_of, stems
from producers.node.refusals import CODES, WORDINGS, Meaning, Wording

ROWS = [pytest.param(row, id=f"{row.provider}-{row.message[:40]}") for row in WORDINGS]


def read(row: Wording, message: str | None = None) -> Meaning:
    return meaning_of(
        row.code, row.message if message is None else message, "eth_getLogs", ranged=row.meaning is not Meaning.SIZE
    )


@pytest.mark.parametrize("row", ROWS)
def test_wording_of_a_provider_has_its_meaning(row: Wording) -> None:
    assert read(row) is row.meaning


@pytest.mark.parametrize("row", ROWS)
def test_wording_in_another_case_and_punctuation_has_the_same_meaning(row: Wording) -> None:
    assert read(row, row.message.upper()) is row.meaning
    assert read(row, row.message.replace(". ", "! ").replace(", ", " - ")) is row.meaning


@pytest.mark.parametrize("row", [row for row in ROWS if row.values[0].phrase])  # type: ignore[union-attr]
def test_phrase_of_a_row_is_written_as_it_is_compared(row: Wording) -> None:
    assert f" {row.phrase} " in f" {stems(row.message)} "
    assert row.meaning in PRECEDENCE


@pytest.mark.parametrize("row", ROWS)
def test_wording_inside_a_contracts_revert_is_a_revert(row: Wording) -> None:
    """Anybody can deploy a contract that reverts with these words."""
    assert meaning_of(3, row.message) is Meaning.REVERT
    assert meaning_of(-32000, f"execution reverted: {row.message}") is Meaning.REVERT
    assert meaning_of(-32015, f"VM execution error. Reverted {row.message}") is Meaning.REVERT


@pytest.mark.parametrize(
    "message",
    [
        "snapshot 12 was reverted",
        "block 77 reverted by a reorg, execution reverted to its parent",
        "the database reverted to an earlier version",
        "could not revert state",
        "internal error: panic while handling out of gas",
        "rate limit exceeded, last error: execution reverted",
        "429 Too Many Requests: execution reverted",
        "upstream timed out",
        "revertible transaction pool is full",
    ],
)
@pytest.mark.parametrize("code", [-32000, -32603, -32015, None])
def test_words_of_a_node_do_not_pass_for_a_revert(message: str, code: int | None) -> None:
    assert meaning_of(code, message) is not Meaning.REVERT


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("Too many reqests, try again later", Meaning.RATE),
        ("Too many requsts", Meaning.RATE),
        ("Monthly capcity limit reached", Meaning.QUOTA),
        ("please specfy an address", Meaning.POLICY),
        ("query retruned more than 500 results", Meaning.RANGE),
    ],
)
def test_wording_with_one_letter_off_is_recognised(message: str, meaning: Meaning) -> None:
    assert meaning_of(-32000, message, "eth_getLogs", ranged=True) is meaning


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("block range must not exceed 2000 blocks", Meaning.RANGE),
        ("you may query at most 100 blocks: range too big", Meaning.RANGE),
        ("too many events matched", Meaning.RANGE),
        ("call throttled, slow down", Meaning.RATE),
        ("limit of 25 requests per second reached", Meaning.RATE),
        ("exceeded 10 rps", Meaning.RATE),
        ("request quota exhausted for this key", Meaning.QUOTA),
        ("out of credits, top up your account", Meaning.QUOTA),
        ("an address filter is required", Meaning.POLICY),
        ("this method is not available on your current plan", Meaning.POLICY),
        ("json: cannot unmarshal object into Go value of type string", Meaning.UNSUPPORTED),
    ],
)
def test_wording_that_no_row_has_is_read_by_rule(message: str, meaning: Meaning) -> None:
    assert meaning_of(-32000, message, "eth_getLogs", ranged=True) is meaning


@pytest.mark.parametrize("code", [-32000, -32602, -32603, -32099, 1, 12, None])
@pytest.mark.parametrize(
    "message",
    [
        "",
        "nope",
        "insufficient balance for transfer",
        "something went wrong",
        "invalid argument",
        "\x00" * 10_000,
        "range",
    ],
)
def test_refusal_that_nothing_knows_is_transient(code: int | None, message: str) -> None:
    assert meaning_of(code, message) is Meaning.TRANSIENT


@pytest.mark.parametrize(("code", "meaning"), CODES.items())
def test_code_without_words_has_its_meaning(code: int, meaning: Meaning) -> None:
    assert meaning_of(code, "") is meaning
    assert meaning_of(code, "sorry") is meaning


def test_limit_exceeded_is_of_a_range_only_where_one_was_asked() -> None:
    assert meaning_of(-32005, "limit exceeded", "eth_getLogs", ranged=True) is Meaning.RANGE
    assert meaning_of(-32005, "limit exceeded", "eth_getLogs") is Meaning.RATE
    assert meaning_of(-32005, "limit exceeded", "eth_call") is Meaning.RATE


def test_too_many_logs_of_one_block_are_a_matter_of_size() -> None:
    message = "query returned more than 10000 results"
    assert meaning_of(-32005, message, "eth_getLogs") is Meaning.SIZE
    assert meaning_of(-32005, message, "eth_getLogs", ranged=True) is Meaning.RANGE
    assert meaning_of(-32008, "Response is too big", "eth_getLogs", ranged=True) is Meaning.RANGE


def test_table_knows_ten_providers_and_each_meaning() -> None:
    assert {
        "Alchemy",
        "Infura",
        "QuickNode",
        "dRPC",
        "Ankr",
        "Chainstack",
        "publicnode",
        "BlockPI",
        "Blast",
        "Base",
    } <= {row.provider for row in WORDINGS}
    assert {"Nethermind", "Besu", "reth", "Erigon", "Bor", "Geth", "Hardhat", "Ganache", "anvil"} <= {
        row.provider for row in WORDINGS
    }
    assert {row.meaning for row in WORDINGS} == set(Meaning)
    assert all(row.source for row in WORDINGS)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (3, Meaning.REVERT),
        *((code, Meaning.RATE) for code in (429, 15, -32003, -32005, -32007, -32009, -32012, -32605)),
        *((code, Meaning.QUOTA) for code in (402, -32607, -32052)),
        *((code, Meaning.RANGE) for code in (35, -32614)),
        (-32008, Meaning.SIZE),
        (-32701, Meaning.POLICY),
        *((code, Meaning.UNSUPPORTED) for code in (-32601, -32004)),
        (4444, Meaning.PRUNED),
        *((code, Meaning.TRANSIENT) for code in (19, 30, -32000, -32602, -32603, 0, -1, None)),
    ],
)
def test_code_alone_decides_where_no_words_tell(code: int | None, meaning: Meaning) -> None:
    assert meaning_of(code, "no") is meaning
    assert meaning_of(code, "no", "eth_getLogs", ranged=True) is (
        Meaning.RANGE if meaning in (Meaning.RANGE, Meaning.SIZE) else meaning
    )


def test_codes_that_decide_alone_are_those_tested_here() -> None:
    assert len(CODES) == 21
