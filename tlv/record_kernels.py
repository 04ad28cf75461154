"""Messages to typed records in machine code: a parse, a poll's messages, a poll's records, one call each.

Owns the walk from bytes to `Header` and records: which class a TLV has, how each field becomes a Python value, and that
every message is checked before.  It must never say why bytes are refused: what is no message, or has a form of its own,
is left to `tlv.message`, which parses it again as plain Python and says so.

A parse of a Gap takes 0.43 us so.  It took 3.7 with a kernel that checks and Python that walks, unpacks and
constructs, and 0.66 with functions written for the shape of a whole message: 0.12 for the check, 0.10 for one
`struct.unpack` of all fields, the rest for calls.  A swap with its origin takes 1.2, 6.7 and 2.0, of which six wide
integers are 0.45, by `int.from_bytes` as from limbs (AMD EPYC, Python 3.11; bench `tlv`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tlv.buffers import Bytes
from tlv.fields import (
    I32_FORM,
    I64_FORM,
    ID_FORM,
    RAW_FORM,
    TEXT_FORM,
    U8_FORM,
    U16_FORM,
    U32_FORM,
    U64_FORM,
    WIDE_FORM,
)
from tlv.jit import inline_kernel, kernel
from tlv.kernels import check_message, next_tlv
from tlv.layout import HEADER_SIZE, SIZE_OF_TYPE, EventOrigin
from tlv.objects import (
    BUILTINS,
    BYTES_AT,
    ITEMS_AT,
    LIST_AT,
    UINT8,
    WORD,
    array_at,
    bound_bytes,
    builtin,
    bytes_object,
    call_object,
    cut_list,
    drop_reference,
    item_of,
    list_object,
    load_byte,
    load_short,
    load_signed,
    load_unsigned,
    load_word,
    new_reference,
    signed_object,
    size_at,
    stack_words,
    store_word,
    text_object,
    tuple_object,
    unsigned_object,
    wide_object,
)
from tlv.record_table import (
    COUNT_OF,
    ERRORS_AT,
    FIELD_BYTES,
    NONE_AT,
    OFFSET_OF,
    REGISTRY_AT,
    ROW_HEAD,
    SIZE_OF,
    TRUE_AT,
    WIDTH_OF,
    bound_to,
    row_of,
)
from tlv.status import OK

HEADER_ROW = 0
OTHERWISE = -1
"""A well-formed message of a form that this file does not read."""
FAILED = -2
"""An exception is set."""
POOL_ID_BYTES, ADDRESS_BYTES = 32, 20
WIDEST = 32
ORIGIN = EventOrigin.layout.type
ALONE, BESIDE_ORIGIN = 1, 2
"""Of a type, for `read_rows`: where a record of it is wanted."""


@inline_kernel
def make_value(table: int, form: int, at: int, size: int) -> int:
    """The Python value of the field at address `at`."""
    if form == RAW_FORM:
        return bytes_object(at, size)
    if form == U64_FORM:
        return unsigned_object(load_word(at))
    if form == I64_FORM:
        return signed_object(load_word(at))
    if form == U32_FORM:
        return signed_object(load_unsigned(at))
    if form == U8_FORM:
        return signed_object(load_byte(at))
    if form == I32_FORM:
        return signed_object(load_signed(at))
    if form == U16_FORM:
        return signed_object(load_short(at))
    if form == ID_FORM:
        # An address with zeros behind it stands for an id: `tlv.fields.pool_id_of`.
        is_address = load_word(at + ADDRESS_BYTES) == 0 and load_unsigned(at + ADDRESS_BYTES + WORD) == 0
        return bytes_object(at, ADDRESS_BYTES if is_address else POOL_ID_BYTES)
    if form == TEXT_FORM:
        while size > 0 and load_byte(at + size - 1) == 0:
            size -= 1
        return text_object(at, size, load_word(table + ERRORS_AT))
    if form == WIDE_FORM:
        # Most amounts need two words, many one: 10 ns for a zero, where all 32 bytes take 30.
        if size == WIDEST and load_word(at + 2 * WORD) == 0 and load_word(at + 3 * WORD) == 0:
            size = 2 * WORD
        if size == 2 * WORD and load_word(at + WORD) == 0:
            return unsigned_object(load_word(at))
        return wide_object(at, size, 0)
    return wide_object(at, size, 1)


@kernel
def make_record(table: int, number: int, at: int) -> int:
    """The record of a type that is in the table, from the bytes at address `at`; 0 with an exception set."""
    row = row_of(table, number)
    arguments = stack_words()
    count = load_word(row + COUNT_OF)
    done = 0
    while done < count:
        field = row + ROW_HEAD + done * FIELD_BYTES
        found = make_value(table, load_word(field), at + load_word(field + OFFSET_OF), load_word(field + WIDTH_OF))
        if found == 0:
            break
        store_word(arguments + done * WORD, found)
        done += 1
    made = call_object(load_word(row), arguments, count, 0) if done == count else 0
    for i in range(done):
        drop_reference(load_word(arguments + i * WORD))
    return made


@inline_kernel
def standing(table: int, tlv_type: int, length: int) -> int:
    """What a TLV of a well-formed message is: 1 a record of the table, 0 of no layout, or `OTHERWISE`."""
    row = row_of(table, tlv_type)
    cls = load_word(row)
    if SIZE_OF_TYPE[tlv_type] < 0:
        # A user's type, which may come and go; the message's check does not know its size.
        key = signed_object(tlv_type)  # one of the small ints that are always there
        registered = item_of(load_word(table + REGISTRY_AT), key)
        drop_reference(key)
        if registered == 0:
            return 0
        if registered != cls or load_word(row + SIZE_OF) != length:
            return OTHERWISE
    return 1 if cls != 0 else OTHERWISE


@kernel
def make_parts(table: int, buf: Bytes, at: int, start: int, end: int, parts: int) -> int:
    """The header and the tuple of records of the well-formed message `buf[start:end]`, as two references at address
    `parts`; `at` is where `buf` begins.  How many TLVs have no layout; `OTHERWISE`, `FAILED`: there are no references.
    """
    count = unknown = 0
    pos = start + HEADER_SIZE
    while pos < end:
        _, tlv_type, _, length, pos = next_tlv(buf, pos, end)
        found = standing(table, tlv_type, length)
        if found == OTHERWISE:
            return OTHERWISE
        count += found
        unknown += 1 - found
    header = make_record(table, HEADER_ROW, at + start)
    if header == 0:
        return FAILED
    records = tuple_object(count)
    done = 0
    pos = start + HEADER_SIZE
    while records != 0 and pos < end:
        _, tlv_type, value_pos, length, pos = next_tlv(buf, pos, end)
        if unknown != 0 and standing(table, tlv_type, length) != 1:
            continue
        record = make_record(table, tlv_type, at + value_pos)
        if record == 0:
            drop_reference(records)
            records = 0
        else:
            store_word(records + ITEMS_AT + done * WORD, record)
            done += 1
    if records == 0:
        drop_reference(header)
        return FAILED
    store_word(parts, header)
    store_word(parts + WORD, records)
    return unknown


@kernel
def read_message(bound: int, arguments: int, _count: int, _names: int) -> int:
    """`(data: bytes, unverified: bool)`: the message, the status of its refusal, or 0 for what Python has to read."""
    table, cls = load_word(bound_bytes(bound)), load_word(bound_bytes(bound) + WORD)
    data, unverified = load_word(arguments), load_word(arguments + WORD) == load_word(table + TRUE_AT)
    at, end = data + BYTES_AT, size_at(data)
    buf = array_at(at, end, UINT8)
    status = check_message(buf, 0, end, not unverified)
    if status != OK:
        return signed_object(status)
    parts = stack_words()
    unknown = make_parts(table, buf, at, 0, end, parts)
    if unknown == FAILED:
        return 0
    if unknown == OTHERWISE:
        return signed_object(OK)
    number = signed_object(unknown)
    store_word(parts + 2 * WORD, number)
    message = call_object(cls, parts, 3, 0) if number != 0 else 0
    for i in range(3):
        drop_reference(load_word(parts + i * WORD))
    return message


@kernel
def read_frames(bound: int, arguments: int, _count: int, _names: int) -> int:
    """`(make, ring, job: six words)`: a list of what `make(ring, sequence, header, records)` gives for each frame, up
    to the first that Python has to read.  No checksum is verified.

    The job: where the bytes are, how many; where the sequences, offsets and lengths are, how many frames.
    """
    table = load_word(bound_bytes(bound))
    make, ring, job = load_word(arguments), load_word(arguments + WORD), load_word(arguments + 2 * WORD) + BYTES_AT
    at, size = load_word(job), load_word(job + WORD)
    sequences, offsets, lengths = load_word(job + 2 * WORD), load_word(job + 3 * WORD), load_word(job + 4 * WORD)
    count = load_word(job + 5 * WORD)
    buf = array_at(at, size, UINT8)
    parts = stack_words()
    made = list_object(count)
    done = 0
    while made != 0 and done < count:
        start = load_word(offsets + done * WORD)
        end = start + load_word(lengths + done * WORD)
        unknown = OTHERWISE
        if check_message(buf, start, end, False) == OK:
            unknown = make_parts(table, buf, at, start, end, parts + 2 * WORD)
        if unknown == OTHERWISE:
            break
        found = 0
        if unknown != FAILED:
            store_word(parts, ring)
            number = signed_object(load_word(sequences + done * WORD))
            store_word(parts + WORD, number)
            found = call_object(make, parts, 4, 0) if number != 0 else 0
            for k in range(1, 4):
                drop_reference(load_word(parts + k * WORD))
        if found == 0:
            drop_reference(made)
            return 0
        store_word(load_word(made + LIST_AT) + done * WORD, found)
        done += 1
    if made != 0 and done < count:
        cut_list(made, done)
    return made


@kernel
def read_rows(bound: int, arguments: int, _count: int, _names: int) -> int:
    """`(job: five words)`: of each row of a table the record and the EventOrigin, one behind the other in a
    list; None for what is not wanted, or what Python has to read.

    The job: where the bytes are; where the rows are, a row's bytes, how many; where 256 bytes say what is wanted of a
    type (`ALONE`, `BESIDE_ORIGIN`).  Words 1 to 3 of a row: type (negative: nothing is read), position of the record,
    and of its EventOrigin or 0; all of them are known to be right."""
    table = load_word(bound_bytes(bound))
    job = load_word(arguments) + BYTES_AT
    at, rows, row_bytes = load_word(job), load_word(job + WORD), load_word(job + 2 * WORD)
    count, wanted = load_word(job + 3 * WORD), load_word(job + 4 * WORD)
    none = load_word(table + NONE_AT)
    made = list_object(2 * count)
    if made == 0:
        return 0
    for i in range(count):
        row = rows + i * row_bytes
        number, second = load_word(row + WORD), load_word(row + 3 * WORD)
        record = origin = none
        if number >= 0 and load_word(row_of(table, number)) != 0:
            want = load_byte(wanted + number)
            if want & (BESIDE_ORIGIN if second != 0 else ALONE):
                record = make_record(table, number, at + load_word(row + COUNT_OF))
                if record == 0:
                    drop_reference(made)
                    return 0
                if second != 0:
                    origin = make_record(table, ORIGIN, at + second)
        if record == none:
            new_reference(none)
        if origin == none:
            new_reference(none)
        items = load_word(made + LIST_AT) + 2 * i * WORD
        store_word(items, record)
        if origin == 0:
            drop_reference(made)
            return 0
        store_word(items + WORD, origin)
    return made


@cache
def message_reader(cls: type[Any]) -> Callable[[bytes, bool], Any] | None:
    """`read_message` for a class (header, records, unknown); None where no builtin can be made, as the others."""
    return builtin(read_message, "read_message", "($self, data, unverified, /)", bound_to(cls)) if BUILTINS else None


@cache
def frames_reader() -> Callable[[Callable[..., Any], bytes, bytes], list[Any]] | None:
    """`read_frames`."""
    return builtin(read_frames, "read_frames", "($self, make, ring, job, /)", bound_to()) if BUILTINS else None


@cache
def rows_reader() -> Callable[[bytes], list[Any]] | None:
    """`read_rows`."""
    return builtin(read_rows, "read_rows", "($self, job, /)", bound_to()) if BUILTINS else None
