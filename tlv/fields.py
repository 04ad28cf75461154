"""The kinds of field a layout is made of: one line each, with its numpy form, its bytes and its Python value.

A record class in `tlv.layout` is annotated with these types and nothing else.  This file does not know any record.

    kind      numpy          Python    note
    U8..U64   <u1 .. <u8     int
    I32, I64  <i4, <i8       int
    U128      <u8[2]         int       little-endian limbs, so the 16 bytes are the integer's little-endian bytes
    U256      <u8[4]         int       same, 32 bytes: every wei of an EVM word
    I128      <u8[2]         int       two's complement
    I256      <u8[4]         int       same
    Address   |u1[20]        bytes     in the order in which an explorer prints it
    PoolId    |u1[32]        bytes     20 for an address, which 12 zero bytes follow, or the 32 of an id
    Hash      |u1[32]        bytes     in the order in which an explorer prints it
    Uuid      |u1[16]        bytes
    Bytes32   |u1[32]        bytes     meaning given by the fields beside it
    Text20    |u1[20]        str       UTF-8, padded with NUL
    Text64    |u1[64]        str       same
    Text1024  |u1[1024]      str       same
"""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Annotated, Any, NamedTuple

MAX_UINT256 = (1 << 256) - 1

RAW_FORM, U8_FORM, U16_FORM, U32_FORM, U64_FORM, I32_FORM, I64_FORM, WIDE_FORM, SIGNED_FORM, ID_FORM, TEXT_FORM = range(
    11
)
"""How a field becomes a Python value, for kernels (`tlv.record_kernels`): `FieldKind.decode` as a number."""


class FieldKind(NamedTuple):
    """How one field stands in memory: `base` x `length` (0 = a scalar), and how its bytes become a Python value."""

    name: str
    base: str
    length: int
    code: str
    decode: Callable[[Any], Any] | None = None
    encode: Callable[[Any], Any] | None = None
    decoding: str = ""
    """`decode` of `{0}` as Python text, for `tlv.record` to write into a class' reader: a call less for each field."""
    encoding: str = ""
    """The same of `encode`, into a class' writer; `refuse()` where it does not fit."""
    form: int = RAW_FORM
    """`decode` as a number, for kernels."""

    @property
    def alignment(self) -> int:
        """Natural alignment in bytes: that of one element."""
        return int(self.base[-1])

    @property
    def size(self) -> int:
        """Bytes of the whole field."""
        return self.alignment * max(self.length, 1)


def _wide(size: int, signed: bool) -> tuple[Callable[[bytes], int], Callable[[int], bytes], str, str, int]:
    def decode(raw: bytes) -> int:
        return int.from_bytes(raw, "little", signed=signed)

    def encode(value: int) -> bytes:
        return index(value).to_bytes(size, "little", signed=signed)

    sign = ", signed=True" if signed else ""
    decoding, encoding = f"int.from_bytes({{0}}, 'little'{sign})", f"index({{0}}).to_bytes({size}, 'little'{sign})"
    return decode, encode, decoding, encoding, SIGNED_FORM if signed else WIDE_FORM


def _exact(size: int) -> tuple[None, Callable[[bytes], bytes], str, str]:
    def encode(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"expected {size} bytes, found {len(value)}")
        return value

    return None, encode, "", f"(value if len(value := {{0}}) == {size} else refuse())"


NO_ID = bytes(12)
"""Behind an address that stands in the place of an id."""


def pool_id_of(raw: bytes) -> bytes:
    """One value for each 32 bytes: those that end in 12 zeros are the address before these."""
    return raw[:20] if raw[20:] == NO_ID else raw


OF_POOL_ID = "({0}[:20] if {0}[20:] == NO_ID else {0})"
"""The same as Python text."""
TO_POOL_ID = "(value if len(value := {0}) == 20 or len(value) == 32 else refuse())"
"""`_of_pool_id` as Python text; `struct` fills up with zeros."""


def _of_pool_id(value: bytes) -> bytes:
    if len(value) not in (20, 32):
        raise ValueError(f"expected the 20 bytes of an address or the 32 of an id, found {len(value)}")
    return value.ljust(32, b"\0")


def _text(size: int) -> tuple[Callable[[bytes], str], Callable[[str], bytes]]:
    def decode(raw: bytes) -> str:
        return raw.rstrip(b"\0").decode("utf-8", "replace")

    def encode(value: str) -> bytes:
        raw = value.encode()
        if len(raw) > size or "\0" in value:
            raise ValueError(f"expected at most {size} bytes of text without NUL, found {len(raw)}")
        return raw

    return decode, encode


U8 = Annotated[int, FieldKind("u8", "u1", 0, "B", form=U8_FORM)]
U16 = Annotated[int, FieldKind("u16", "<u2", 0, "H", form=U16_FORM)]
U32 = Annotated[int, FieldKind("u32", "<u4", 0, "I", form=U32_FORM)]
U64 = Annotated[int, FieldKind("u64", "<u8", 0, "Q", form=U64_FORM)]
I32 = Annotated[int, FieldKind("i32", "<i4", 0, "i", form=I32_FORM)]
I64 = Annotated[int, FieldKind("i64", "<i8", 0, "q", form=I64_FORM)]
U128 = Annotated[int, FieldKind("u128", "<u8", 2, "16s", *_wide(16, signed=False))]
I128 = Annotated[int, FieldKind("i128", "<u8", 2, "16s", *_wide(16, signed=True))]
U256 = Annotated[int, FieldKind("u256", "<u8", 4, "32s", *_wide(32, signed=False))]
I256 = Annotated[int, FieldKind("i256", "<u8", 4, "32s", *_wide(32, signed=True))]
Address = Annotated[bytes, FieldKind("address", "u1", 20, "20s", *_exact(20))]
PoolId = Annotated[
    bytes, FieldKind("pool_id", "u1", 32, "32s", pool_id_of, _of_pool_id, OF_POOL_ID, TO_POOL_ID, ID_FORM)
]
Hash = Annotated[bytes, FieldKind("hash", "u1", 32, "32s", *_exact(32))]
Uuid = Annotated[bytes, FieldKind("uuid", "u1", 16, "16s", *_exact(16))]
Bytes32 = Annotated[bytes, FieldKind("bytes32", "u1", 32, "32s", *_exact(32))]
Text20 = Annotated[str, FieldKind("text20", "u1", 20, "20s", *_text(20), form=TEXT_FORM)]
Text64 = Annotated[str, FieldKind("text64", "u1", 64, "64s", *_text(64), form=TEXT_FORM)]
Text1024 = Annotated[str, FieldKind("text1024", "u1", 1024, "1024s", *_text(1024), form=TEXT_FORM)]
