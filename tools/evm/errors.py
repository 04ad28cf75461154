"""Why a contract inside this process swaps nothing."""

from __future__ import annotations

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from tlv.errors import AlphaPulseError

REVERT_SELECTOR = "08c379a0"


class NoRealContract(AlphaPulseError):
    """No contract is at hand that swaps like this pool."""


class SwapReverted(AlphaPulseError):
    """The contract refused the swap; its reason is the message."""


def reason_in(text: str) -> str:
    """What a contract said when it reverted, if it can be read."""
    at = text.find(REVERT_SELECTOR)
    digits = (
        "".join(char for char in text[at + len(REVERT_SELECTOR) :] if char in "0123456789abcdef") if at >= 0 else ""
    )
    try:
        return str(decode(["string"], bytes.fromhex(digits[: len(digits) // 2 * 2]))[0]) if digits else text[:200]
    except DecodingError:
        return text[:200]
