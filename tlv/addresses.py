"""Addresses as people write them.

Owns the one spelling that the rest of the project knows, lower case, and the checksum in the letters' case (EIP-55):
letters of both cases carry one, and one that is wrong says that a character is.
"""

from __future__ import annotations

import re

from tlv.errors import UsageError

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


def checksummed(address: str) -> str:
    """`address` (lower case) with its checksum in the letters' case: EIP-55."""
    from eth_hash.auto import keccak  # 40 ms, and only letters of both cases need it

    digits = address[2:]
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, marks, strict=False))


def read_address(text: str) -> str:
    """`text` in lower case.

    Raises:
        UsageError: it is no address, or its checksum is wrong.
    """
    if not ADDRESS.fullmatch(text):
        raise UsageError(f"expected 0x and 40 hex digits, found {text!r}")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and checksummed(text.lower()) != text:
        raise UsageError(
            f"expected {checksummed(text.lower())} by its checksum (EIP-55), found {text}: a character is wrong, or "
            "write it in lower case"
        )
    return text.lower()
