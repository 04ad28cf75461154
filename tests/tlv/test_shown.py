"""Which letters of others are shown."""

from __future__ import annotations

from unicodedata import bidirectional, category

import pytest

from tlv.shown import MOST_MARKS, UNSEEN, is_shown, shown

ACUTE, RING, DOT = "\u0301", "\u030a", "\u0323"


@pytest.mark.parametrize(
    "text", ["", "USDC", "USD Coin", "e\u0301", "Việt", "Việt", "กำ", "₮", "比特", "🚀", "a" + ACUTE + RING]
)
def test_text_that_stays_where_it_is_put_is_shown_as_it_is(text: str) -> None:
    assert is_shown(text) and shown(text) == shown(text, "?") == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x07", "[31mred"),
        ("a\nb\tc\x00", "abc"),
        ("\u202eCDSU\u2066x\u2069", "CDSUx"),
        ("U\u200bS\u200dD\ufeffC\u00ad\u2060", "USDC"),
        ("a\u00a0b\u3000c\u2028", "abc"),
        ("1\u05d0\u05d1 2", "1 2"),
        ("\u0627\u0661USD", "USD"),
        ("\u3164\uffa0\u2800\u115fUSDC\ufe0f\U000e0101", "USDC"),
        ("A" + ACUTE * 9, "A" + ACUTE * MOST_MARKS),
        ("A" + (ACUTE + RING + DOT) * 3, "A" + ACUTE + RING),
        (ACUTE + "A", "A"),
        (" " + ACUTE + "A", " A"),
        ("\u05d0" + ACUTE, ""),
        ("\ud800\udfff", ""),
        ("\ue000\U000f0000\uffff\U0010ffff", ""),
        ("\U000e0041\U000e0042", ""),
    ],
)
def test_text_that_would_reach_beyond_its_place_is_shown_without_what_does(text: str, left: str) -> None:
    assert not is_shown(text)
    assert shown(text) == left and is_shown(left)
    assert shown(text, "?").count("?") == len(text) - len(left)


def test_no_letter_that_is_shown_is_a_control_or_turns_a_line() -> None:
    """Every code point of the planes of letters, signs and tags, on a letter."""
    planes = (*range(0x20000), *range(0xE0000, 0xE1000))
    left = set(shown("".join(f"x{chr(code)}" for code in planes)))
    assert all(letter.isprintable() for letter in left)
    assert left.isdisjoint(UNSEEN)
    assert {bidirectional(letter) for letter in left}.isdisjoint({"R", "AL", "AN"})
    assert {category(letter)[0] for letter in left} == {"L", "M", "N", "P", "S", "Z"}
