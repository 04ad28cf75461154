"""Addresses: the spellings that are taken, and the checksum in the letters' case."""

from __future__ import annotations

import pytest

from tlv.addresses import checksummed, read_address
from tlv.errors import UsageError

EXAMPLE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
"""The first of EIP-55."""


@pytest.mark.parametrize("text", [EXAMPLE, EXAMPLE.lower(), f"0x{EXAMPLE[2:].upper()}"])
def test_address_is_read_with_its_checksum_and_in_one_case(text: str) -> None:
    assert read_address(text) == EXAMPLE.lower()
    assert checksummed(EXAMPLE.lower()) == EXAMPLE


def test_address_with_a_wrong_checksum_is_refused_with_the_right_one() -> None:
    with pytest.raises(UsageError, match=f"expected {EXAMPLE} by its checksum"):
        read_address(EXAMPLE.replace("5aA", "5aa"))


@pytest.mark.parametrize("text", ["", "0x12", EXAMPLE[2:], EXAMPLE + "\n", EXAMPLE.replace("5", "g")])
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected 0x and 40 hex digits"):
        read_address(text)
