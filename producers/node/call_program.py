"""The program that makes many view calls inside the node, in one `eth_call` without `to`.

Owns its text, its arguments and the form of its answer; asks nobody.  Questions stand behind the code, one word each:

    address (20 bytes) | selector (4 bytes) | 7 zero bytes | words of result that are kept (1 byte)

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
LARGEST_ANSWER = 24_576
GAS_OF_ONE = 200_000
"""What a question may burn.  An honest view function takes less than 30,000, behind two proxies too."""
GAS_LEFT = 0x540000
"""Below that no further question is put: one question, and the deposit of 200 gas for each returned byte."""

PROGRAM = f"""
    end 0 MSTORE  100 20 MSTORE                 ; 0 where the next question stands, 20 where its answer goes
  next:
    CODESIZE 0 MLOAD LT ISZERO done JUMPI
    {GAS_LEFT:x} GAS LT done JUMPI
    20 0 MLOAD 40 CODECOPY                      ; 40 the question: its selector stands at 54
    40 MLOAD ff AND 20 MUL 80 MSTORE            ; 80 bytes of result that are kept
    80 MLOAD 20 MLOAD 20 ADD 4 54 40 MLOAD 60 SHR {GAS_OF_ONE:x} STATICCALL
    40 MLOAD 60 SHR EXTCODESIZE ISZERO ISZERO 1 SHL OR
    RETURNDATASIZE 8 SHL OR  20 MLOAD MSTORE
    20 MLOAD 20 ADD 80 MLOAD ADD 20 MSTORE
    20 0 MLOAD ADD 0 MSTORE
    next JUMP
  done:
    100 20 MLOAD SUB 100 RETURN
  end:
"""

CODE = assemble(PROGRAM)

REVERTED = Failure(3, "execution reverted")
SILENT = ""
"""The answer of a contract that has code and returned nothing; "0x" says only that nothing was returned."""
NOTHING = "0x"


class Question(NamedTuple):
    """A view function without arguments."""

    to: str
    """An address, lower-case hex."""
    data: str
    """The selector, hex."""
    words: int = 1
    """How much of its result is of use."""


def size_of(question: Question) -> int:
    """Bytes of its answer."""
    return WORD * (1 + question.words)


def call_data(questions: Sequence[Question]) -> str:
    """What to send as the data of the eth_call."""
    return "0x" + CODE.hex() + "".join(f"{q.to[2:]}{q.data[2:]}{q.words:016x}" for q in questions)


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
