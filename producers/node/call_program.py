"""The program that makes many view calls inside the node, in one `eth_call` without `to`.

Owns its text, its arguments and the form of its answer; asks nobody.  Questions stand behind the code, each one word
and its arguments:

    address (20 bytes) | 6 zero bytes | words of arguments | words of result that are kept | selector (4 bytes) | ...

and the answer has for each, in their order, one word and as many as are kept:

    size of the result << 8 | has code << 1 | success | the result, cut or filled with zeros

So a pool that reverts, one that says nothing and an address without code (yet, on this backend) are told apart.  Where
gas runs short the program stops in time: what it did not reach is missing at the end of the answer, and is no answer.
What is returned counts as code, 24,576 bytes at most (EIP-170), and what is sent as init code, 49,152 (EIP-3860).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from producers.node.assembler import assemble
from producers.node.hex import HexError, read_bytes
from producers.node.jsonrpc import Failure

WORD = 32
SELECTOR = 1 + 4
"""Bytes of `0x` and a selector, counted two hex digits each."""
MOST_ARGUMENTS = 11
"""Words; the answers begin behind them."""
LARGEST_ANSWER = 24_576
LARGEST_SENT = 49_152
GAS_OF_ONE = 200_000
"""What a question may burn.  An honest view function takes less than 30,000, behind two proxies too."""
GAS_LEFT = 0x540000
"""Below that no further question is put: one question, and the deposit of 200 gas for each returned byte."""

PROGRAM = f"""
    end 0 MSTORE  200 20 MSTORE                 ; 0 where the next question stands, 20 where its answer goes
  next:
    CODESIZE 0 MLOAD LT ISZERO done JUMPI
    {GAS_LEFT:x} GAS LT done JUMPI
    20 0 MLOAD 80 CODECOPY                      ; 80 the question: its selector stands at 9c
    80 MLOAD 28 SHR ff AND 20 MUL 60 MSTORE     ; 60 bytes of arguments
    60 MLOAD 0 MLOAD 20 ADD a0 CODECOPY         ; a0 the arguments
    80 MLOAD 20 SHR ff AND 20 MUL 40 MSTORE     ; 40 bytes of result that are kept
    40 MLOAD 20 MLOAD 20 ADD 60 MLOAD 4 ADD 9c 80 MLOAD 60 SHR {GAS_OF_ONE:x} STATICCALL
    80 MLOAD 60 SHR EXTCODESIZE ISZERO ISZERO 1 SHL OR
    RETURNDATASIZE 8 SHL OR  20 MLOAD MSTORE
    20 MLOAD 20 ADD 40 MLOAD ADD 20 MSTORE
    60 MLOAD 20 ADD 0 MLOAD ADD 0 MSTORE
    next JUMP
  done:
    200 20 MLOAD SUB 200 RETURN
  end:
"""

CODE = assemble(PROGRAM)

REVERTED = Failure(3, "execution reverted")
SILENT = ""
"""The answer of a contract that has code and returned nothing; "0x" says only that nothing was returned."""
NOTHING = "0x"


class Question(NamedTuple):
    """A call of a view function."""

    to: str
    """An address, lower-case hex."""
    data: str
    """Selector and arguments, hex; at most `MOST_ARGUMENTS` words of these."""
    words: int = 1
    """How much of its result is of use."""


def size_of(question: Question) -> int:
    """Bytes of its answer."""
    return WORD * (1 + question.words)


def sent_size(question: Question) -> int:
    """Bytes of the question itself."""
    return WORD + len(question.data) // 2 - SELECTOR


def call_data(questions: Sequence[Question]) -> str:
    """What to send as the data of the eth_call."""
    return "0x" + CODE.hex() + "".join(map(_written, questions))


def _written(question: Question) -> str:
    selector, arguments = question.data[2:10], question.data[10:]
    assert len(arguments) <= 2 * WORD * MOST_ARGUMENTS
    return f"{question.to[2:]}{len(arguments) // 64:014x}{question.words:02x}{selector}{arguments}"


def read_answers(answer: str, questions: Sequence[Question]) -> list[str | Failure] | None:
    """The answers to the first of the questions, all of them if gas sufficed; None if the program did not run."""
    try:
        data = read_bytes(answer)
    except HexError:
        return None
    answers: list[str | Failure] = []
    at = 0
    for question in questions:
        if at == len(data):
            break
        end = at + size_of(question)
        head = int.from_bytes(data[at : at + WORD], "big")
        if end > len(data) or head >> 64:
            return None
        answers.append(_read(head, data[at + WORD : end]))
        at = end
    return answers if at == len(data) and answers else None


def _read(head: int, kept: bytes) -> str | Failure:
    size, has_code, success = head >> 8, head >> 1 & 1, head & 1
    if not has_code:
        return NOTHING
    if not success:
        return REVERTED
    if size == 0:
        return SILENT
    cut = bytes(WORD) if size > len(kept) else b""  # so that what was cut is not taken for one word
    return "0x" + (kept[:size] + cut).hex()
