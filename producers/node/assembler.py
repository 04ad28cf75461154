"""Programs for the virtual machine of a node, written as text.

Owns the notation: numbers are hexadecimal and pushed; a label with a colon is a place, without one its address is
pushed; what follows a semicolon is a remark.  It must never know what a program is for.

A node runs the data of an eth_call without `to` as the creation of a contract and answers with what it returns, which
makes nothing and needs no contract of ours or anybody's to be there (ERC-6492 relies on the same).
"""

from __future__ import annotations

OPCODES = {
    **{"STOP": 0x00, "ADD": 0x01, "MUL": 0x02, "SUB": 0x03, "LT": 0x10, "SLT": 0x12, "EQ": 0x14, "ISZERO": 0x15},
    **{"SGT": 0x13, "KECCAK256": 0x20, "CALLER": 0x33, "CALLDATALOAD": 0x35, "CALLDATACOPY": 0x37},
    **{"RETURNDATACOPY": 0x3E, "CALL": 0xF1},
    **{"AND": 0x16, "OR": 0x17, "SHL": 0x1B, "SHR": 0x1C, "CALLDATASIZE": 0x36, "CODESIZE": 0x38, "CODECOPY": 0x39},
    **{
        "EXTCODESIZE": 0x3B,
        "RETURNDATASIZE": 0x3D,
        "MLOAD": 0x51,
        "MSTORE": 0x52,
        "JUMP": 0x56,
        "JUMPI": 0x57,
        "GAS": 0x5A,
    },
    **{"JUMPDEST": 0x5B, "RETURN": 0xF3, "CREATE2": 0xF5, "STATICCALL": 0xFA, "REVERT": 0xFD},
}
PUSH1, PUSH2 = 0x60, 0x61


def assemble(text: str) -> bytes:
    """The code of a program.  The last label is its end, and no jump target."""
    tokens = [token for line in text.splitlines() for token in line.partition(";")[0].split()]
    labels = [token[:-1] for token in tokens if token.endswith(":")]
    parts: list[bytes | str] = []
    places: dict[str, int] = {}
    size = 0
    for token in tokens:
        if token.endswith(":"):
            places[token[:-1]] = size
            part: bytes | str = b"" if token[:-1] == labels[-1] else bytes([OPCODES["JUMPDEST"]])
        elif token in OPCODES:
            part = bytes([OPCODES[token]])
        elif token in labels:
            part = token
        else:
            digits = token.removeprefix("0x")
            value = bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2))
            part = bytes([PUSH1 + len(value) - 1]) + value
        parts.append(part)
        size += 3 if isinstance(part, str) else len(part)
    return b"".join(bytes([PUSH2]) + places[p].to_bytes(2, "big") if isinstance(p, str) else p for p in parts)
