"""What contracts answer about themselves, read with suspicion.

Owns the call data of the few view functions a collector asks, and the reading of their answers.  Anybody can deploy a
token whose `symbol()` is a megabyte, no text, or a terminal escape sequence: every reader here is bounded and gives
None, or a text that is safe to print, and never raises.
"""

from __future__ import annotations

from functools import cache

from eth_hash.auto import keccak

from producers.node.hex import HexError, read_bytes
from tlv.codes import UNKNOWN_DECIMALS
from tlv.shown import shown

WORD = 32
SYMBOL_BYTES = 20
"""What a `Text20` field takes."""
LONGEST_ANSWER = 2 + 2 * 4096
"""Hex characters; an honest answer has three to six words."""


@cache
def selector(signature: str) -> str:
    """Call data of a function without arguments: the first four bytes of the hash of its signature."""
    return "0x" + keccak(signature.encode())[:4].hex()


def calling(signature: str, *arguments: int | bytes) -> str:
    """Call data of a function with arguments of one word each; bytes are an address, or 32 bytes."""
    words = (word if isinstance(word, bytes) else word.to_bytes(WORD, "big", signed=word < 0) for word in arguments)
    return selector(signature) + "".join(word.rjust(WORD, b"\0").hex() for word in words)


TOKEN0 = selector("token0()")
TOKEN1 = selector("token1()")
FACTORY = selector("factory()")
FEE = selector("fee()")
STABLE = selector("stable()")
TICK_SPACING = selector("tickSpacing()")
DECIMALS = selector("decimals()")
SYMBOL = selector("symbol()")
RESERVES = selector("getReserves()")


def read_word(answer: str | None) -> int | None:
    """An answer of exactly one word, unsigned; None if it is anything else."""
    data = _read(answer)
    return int.from_bytes(data, "big") if data is not None and len(data) == WORD else None


def read_words(answer: str | None, longest: int = LONGEST_ANSWER) -> list[int]:
    """An answer of whole words, unsigned; empty if it is anything else, or longer than `longest` hex characters."""
    data = _read(answer, longest) or b""
    if len(data) % WORD:
        return []
    return [int.from_bytes(data[at : at + WORD], "big") for at in range(0, len(data), WORD)]


def read_address(answer: str | None) -> bytes | None:
    """An address; None for the zero address, a word with other high bits, or no word."""
    word = read_word(answer)
    return word.to_bytes(20, "big") if word and word >> 160 == 0 else None


def read_decimals(answer: str | None) -> int:
    """A token's decimals; `UNKNOWN_DECIMALS` if it does not say."""
    word = read_word(answer)
    return word if word is not None and word < UNKNOWN_DECIMALS else UNKNOWN_DECIMALS


def read_symbol(answer: str | None) -> str:
    """A token's symbol: what of it may be shown (`tlv.shown`), at most 20 bytes of UTF-8, "" if there is none.

    Takes an ABI string, or the bytes32 of tokens older than ERC-20's final text (MKR, SAI).
    """
    data = _read(answer)
    if data is None or len(data) < WORD:
        return ""
    if len(data) == WORD:
        return _printable(data)
    begin = int.from_bytes(data[:WORD], "big")
    if begin > len(data) - WORD:
        return ""
    length = int.from_bytes(data[begin : begin + WORD], "big")  # more than is there, where an answer was cut
    return _printable(data[begin + WORD : begin + WORD + length])


def _printable(raw: bytes) -> str:
    text = raw.rstrip(b"\0").decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "")
    # Cutting bytes may cut a character in two; the half is dropped.
    return shown(text).strip().encode()[:SYMBOL_BYTES].decode("utf-8", "ignore").rstrip()


def _read(answer: str | None, longest: int = LONGEST_ANSWER) -> bytes | None:
    if answer is None or len(answer) > longest:
        return None
    try:
        return read_bytes(answer)
    except HexError:
        return None
