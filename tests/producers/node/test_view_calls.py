"""What a contract's answer is read as."""

from __future__ import annotations

import pytest

from producers.node.view_calls import LONGEST_ANSWER, read_address, read_word, read_words

WORD = "11" * 32
VALUE = int(WORD, 16)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, []),
        ("0x", []),
        ("0x11", []),
        ("0x" + WORD, [VALUE]),
        ("0x" + 2 * WORD, [VALUE, VALUE]),
        ("0x" + WORD + "11", []),
        ("0x" + 128 * WORD, 128 * [VALUE]),
        ("0x" + 129 * WORD, []),
        ("0x" + "zz" * 32, []),
        (WORD, []),
    ],
)
def test_answer_of_whole_words_up_to_the_longest_is_read(answer: str | None, words: list[int]) -> None:
    assert read_words(answer) == words
    assert read_word(answer) == (words[0] if len(words) == 1 else None)


def test_longest_answer_is_of_4096_bytes() -> None:
    assert len("0x" + 128 * WORD) == LONGEST_ANSWER == 8194


@pytest.mark.parametrize("high", [0, 1])
def test_address_has_no_other_bits_and_is_not_zero(high: int) -> None:
    assert read_address(f"0x{high << 160 | 7:064x}") == (None if high else (7).to_bytes(20, "big"))
    assert read_address(f"0x{0:064x}") is None
