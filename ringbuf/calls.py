"""The calls that are made for every frame, as builtins.

Owns which arguments such a call takes as they are: bytes, a row of bytes, small integers.  It must never decide what a
refusal means: every other argument, and whatever the ring refuses, goes to the method of the same name, which tries
again and says why.

A call holds the GIL from its first to its last instruction (waiting apart), so threads may share a writer as long as
each of its frames is one such call.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar, cast

import numpy as np

from ringbuf.atomics import monotonic_ns
from ringbuf.declare import packed
from ringbuf.kernels.reading import idle_status, mark_read, read_frame, readable
from ringbuf.kernels.taking import put_back, take_frame
from ringbuf.kernels.waiting import spin, wake
from ringbuf.kernels.writing import abandon, append, commit
from ringbuf.layout import ALIGNMENT, KEY, READER, WRITER
from ringbuf.status import CLOSED, EMPTY, EPOCH_CHANGED, OK, Wait
from tlv.buffers import Longs, State, Words
from tlv.fields import I64
from tlv.jit import inline_kernel, kernel
from tlv.objects import (
    BUFFER,
    BUILTINS,
    BYTES_AT,
    FLOAT64,
    FLOAT_AT,
    INT64,
    ITEMS_AT,
    LIST_AT,
    ONE_ROW,
    UINT8,
    WORD,
    array_at,
    bound_bytes,
    builtin,
    bytes_object,
    call_object,
    clear_error,
    cut_list,
    drop_reference,
    get_buffer,
    list_object,
    load_word,
    new_reference,
    part_object,
    read_only_at,
    release_buffer,
    release_gil,
    serve_signals,
    signed_object,
    signed_of,
    size_at,
    slice_object,
    store_word,
    take_gil,
    type_at,
)
from tlv.units import MS, NS

F = TypeVar("F", bound=Callable[..., Any])

SPIN_SLICE_NS = MS  # signals are served between two
SPIN_FIRST_NS = 20_000  # BACKOFF: about what a sleep and a wake-up cost
SPIN_LAST_NS = 500 * MS  # SPIN: then the method looks whether the writer lives
DEFAULT_FRAMES = 256
MOST_FRAMES = 1 << 24

MAX_KIND = (1 << 16) - 1
NO_SEQUENCE = 0
LETTER_B = ord("B")  # the format of a row of bytes, and the zero that ends it

CALL = packed(
    words=I64,  # addresses of what the kernels take, and their lengths
    word_count=I64,
    control=I64,
    control_count=I64,
    state=I64,
    out=I64,
    out_count=I64,
    view=I64,  # the object that `take` slices
    slices=I64,  # the addresses of SLICES
    wakes=I64,  # whether sleepers are looked for
    buffer=I64,
    checked=I64,  # the method that takes what the call does not
    type_bytes=I64,  # addresses of types, names and values: compared, never followed
    type_bytearray=I64,
    type_memoryview=I64,
    type_array=I64,
    type_list=I64,
    type_tuple=I64,
    type_int=I64,
    type_float=I64,
    name_key=I64,
    name_kind=I64,
    true=I64,
    false=I64,
    none=I64,
    spin=I64,
)
SLICES = tuple(slice(0, length) for length in range(1025))
SLICE_COUNT = len(SLICES)
KNOWN = {
    "type_bytes": bytes,
    "type_bytearray": bytearray,
    "type_memoryview": memoryview,
    "type_array": np.ndarray,
    "type_list": list,
    "type_tuple": tuple,
    "type_int": int,
    "type_float": float,
    "name_key": sys.intern("key"),
    "name_kind": sys.intern("kind"),
    "true": True,
    "false": False,
    "none": None,
    "spin": Wait.SPIN,
}


def bind(
    checked: Callable[..., Any],
    words: Words,
    control: Words,
    state: State,
    *,
    out: Longs | None = None,
    view: memoryview | None = None,
    wakes: bool = False,
) -> tuple[object, ...]:
    """What a call is bound to: its CALL as bytes, and all that this points to, which so lives as long."""
    buffer = np.zeros(1, dtype=BUFFER)
    call = np.zeros(1, dtype=CALL)
    me = call[0]
    me["words"], me["word_count"] = words.ctypes.data, len(words)
    me["control"], me["control_count"] = control.ctypes.data, len(control)
    me["state"], me["buffer"], me["wakes"], me["checked"] = state.ctypes.data, buffer.ctypes.data, wakes, id(checked)
    if out is not None:
        me["out"], me["out_count"], me["view"] = out.ctypes.data, len(out), id(view)
        me["slices"] = id(SLICES) + ITEMS_AT
    for name, value in KNOWN.items():
        me[name] = id(value)
    return call.tobytes(), words, control, state, buffer, checked, out, view, KNOWN


@inline_kernel
def place_object(me: Any, payload: int, kind: int, flags: int, now_ns: int) -> int:
    """Append a payload of bytes, or of any row of bytes; returns its sequence, or a number below 1."""
    words = array_at(me["words"], me["word_count"], INT64)
    control = array_at(me["control"], me["control_count"], INT64)
    writer = array_at(me["state"], 1, WRITER)
    found = type_at(payload)
    if found == me["type_bytes"]:
        length = size_at(payload)
        return append(
            words, control, writer, array_at(payload + BYTES_AT, length, UINT8), 0, length, kind, flags, now_ns
        )
    if found != me["type_memoryview"] and found != me["type_bytearray"] and found != me["type_array"]:
        return NO_SEQUENCE
    if get_buffer(payload, me["buffer"], ONE_ROW) != 0:
        clear_error()
        return NO_SEQUENCE
    row = array_at(me["buffer"], 1, BUFFER)[0]
    sequence = NO_SEQUENCE
    if row["dimensions"] == 1 and row["itemsize"] == 1 and is_format_of_bytes(row["format"]):
        length = row["size"]
        sequence = append(words, control, writer, array_at(row["start"], length, UINT8), 0, length, kind, flags, now_ns)
    release_buffer(me["buffer"])
    return sequence


@kernel
def is_format_of_bytes(address: int) -> bool:
    """Whether a buffer's format is "B"."""
    if address == 0:
        return True
    letters = array_at(address, 2, UINT8)
    return bool(letters[0] == LETTER_B and letters[1] == 0)


@inline_kernel
def kind_and_flags(me: Any, arguments: int, count: int, names: int) -> int:
    """`kind << 8 | flags` of a call `(payload, kind=0, *, key=False)`, or -1: not as they are."""
    named = size_at(names) if names != 0 else 0
    if count < 1 or count > 2 or named > 2 or count + named > 3:
        return -1
    given = array_at(arguments, count + named, INT64)
    number, flags = 0, 0
    if count == 2:
        number = given[1]
    for i in range(named):
        name, value = load_word(names + ITEMS_AT + i * WORD), given[count + i]
        if name == me["name_key"] and value == me["true"]:
            flags = KEY
        elif name == me["name_kind"] and count == 1:
            number = value
        elif name != me["name_key"] or value != me["false"]:
            return -1
    if number == 0:
        return flags
    if type_at(number) != me["type_int"]:
        return -1
    kind = signed_of(number)
    if kind < 0 or kind > MAX_KIND:
        clear_error()
        return -1
    return kind << 8 | flags


@kernel
def publish_call(bound: int, arguments: int, count: int, names: int) -> int:
    """`Writer.publish`."""
    me = array_at(bound_bytes(bound), 1, CALL)[0]
    given = kind_and_flags(me, arguments, count, names)
    if given >= 0:
        now_ns = monotonic_ns()
        sequence = place_object(me, load_word(arguments), given >> 8, given & 255, now_ns)
        if sequence > 0:
            commit_all(me, now_ns)
            return signed_object(sequence)
    return call_object(me["checked"], arguments, count, names)


@kernel
def append_call(bound: int, arguments: int, count: int, names: int) -> int:
    """`WriteBatch.append`, in its block."""
    me = array_at(bound_bytes(bound), 1, CALL)[0]
    given = kind_and_flags(me, arguments, count, names)
    if given >= 0:
        sequence = place_object(me, load_word(arguments), given >> 8, given & 255, monotonic_ns())
        if sequence > 0:
            return signed_object(sequence)
    return call_object(me["checked"], arguments, count, names)


@inline_kernel
def commit_all(me: Any, now_ns: int) -> None:
    """Commit what was appended, and wake the sleepers."""
    words = array_at(me["words"], me["word_count"], INT64)
    writer = array_at(me["state"], 1, WRITER)
    commit(words, writer, now_ns)
    if me["wakes"]:
        wake(words, array_at(me["control"], me["control_count"], INT64), writer)


@kernel
def publish_many_call(bound: int, arguments: int, count: int, names: int) -> int:
    """`Writer.publish_many` of a list or tuple of payloads."""
    me = array_at(bound_bytes(bound), 1, CALL)[0]
    given = kind_and_flags(me, arguments, count, names)
    payloads = load_word(arguments) if given >= 0 else 0
    if given >= 0 and count == 1 and (type_at(payloads) == me["type_list"] or type_at(payloads) == me["type_tuple"]):
        now_ns, length = monotonic_ns(), size_at(payloads)
        items = payloads + ITEMS_AT
        if type_at(payloads) == me["type_list"]:
            items = load_word(payloads + LIST_AT)
        writer = array_at(me["state"], 1, WRITER)
        first: int = writer[0]["sequence"]
        done = 0
        while done < length and place_object(me, load_word(items + done * WORD), given >> 8, 0, now_ns) > 0:
            done += 1
        if done == length and given & 255 == 0 and done > 0:
            commit_all(me, now_ns)
            return signed_object(first)
        abandon(writer)
    return call_object(me["checked"], arguments, count, names)


@kernel
def take_call(bound: int, arguments: int, count: int, names: int) -> int:
    """`Reader.take`."""
    me = array_at(bound_bytes(bound), 1, CALL)[0]
    words = read_only_at(me["words"], me["word_count"], INT64)
    control = array_at(me["control"], me["control_count"], INT64)
    reader = array_at(me["state"], 1, READER)
    out = array_at(me["out"], me["out_count"], INT64)
    it = reader[0]
    if names == 0 and count <= 2 and not it["closed"]:
        before = it["position"]
        status = take_frame(words, control, reader, out)
        if status == EMPTY and count > 0:
            left = spin_slices(me, arguments, count)
            while left > 0 and status == EMPTY:
                others = release_gil()
                came = spin(words, reader, monotonic_ns() + min(left, SPIN_SLICE_NS))
                take_gil(others)
                if serve_signals() != 0:
                    return 0
                left -= SPIN_SLICE_NS
                before = it["position"]
                if came:
                    status = take_frame(words, control, reader, out)
        if status == OK:
            it["taken"] = OK
            length = it["frame_length"]
            if length < SLICE_COUNT:
                view = part_object(me["view"], load_word(me["slices"] + length * WORD))
            else:
                view = slice_object(me["view"], 0, length)
            if view == 0:
                put_back(reader, before)
            return view
        if (status == EMPTY and count == 0) or status in (EPOCH_CHANGED, CLOSED):
            it["taken"] = status
            return new_reference(me["none"])
    return call_object(me["checked"], arguments, count, names)


@inline_kernel
def spin_slices(me: Any, arguments: int, count: int) -> int:
    """How long, in ns, a call `(timeout_s, mode)` spins before its method waits; 0 if the method is to say."""
    given = array_at(arguments, count, INT64)
    most = SPIN_FIRST_NS
    if count == 2:
        if given[1] != me["spin"]:
            return 0
        most = SPIN_LAST_NS
    if given[0] == me["none"]:
        return most
    if type_at(given[0]) != me["type_float"]:
        return 0
    seconds = array_at(given[0] + FLOAT_AT, 1, FLOAT64)[0]
    if not seconds > 0.0:
        return 0
    return most if seconds * NS > most else int(seconds * NS)


@kernel
def take_many_call(bound: int, arguments: int, count: int, names: int) -> int:
    """`Reader.take_many`."""
    me = array_at(bound_bytes(bound), 1, CALL)[0]
    words = read_only_at(me["words"], me["word_count"], INT64)
    control = array_at(me["control"], me["control_count"], INT64)
    reader = array_at(me["state"], 1, READER)
    out = array_at(me["out"], me["out_count"], INT64)
    it = reader[0]
    most = DEFAULT_FRAMES if count == 0 else 0
    if count == 1 and type_at(load_word(arguments)) == me["type_int"]:
        most = signed_of(load_word(arguments))
        if most < 0:
            clear_error()
    if names == 0 and 0 < most <= MOST_FRAMES and not it["closed"] and not it["untold_last"]:
        mark_read(control, reader)
        end = readable(words, reader)
        if it["position"] == end:
            status = idle_status(words, reader)
            if status != OK:
                it["taken"] = status
                return new_reference(me["none"])
            end = readable(words, reader)
        # A frame takes a line at least, so there are no more than these.
        most = min(most, min(end - it["position"], it["capacity"]) // ALIGNMENT)
        frames = list_object(most)
        if frames == 0:
            return 0
        items = load_word(frames + LIST_AT)
        done, before, copy = 0, 0, 1
        while done < most and copy != 0:
            before = it["position"]
            if read_frame(words, reader, end, out, 0) != OK:
                break
            copy = bytes_object(me["out"], it["frame_length"])
            if copy != 0:
                store_word(items + done * WORD, copy)
                done += 1
        if copy == 0:  # no memory
            put_back(reader, before)
        cut_list(frames, done)
        if done > 0:
            clear_error()
            it["taken"] = OK
            return frames
        drop_reference(frames)
        if copy == 0:
            return 0
    return call_object(me["checked"], arguments, count, names)


class CompiledMethod:
    """A method that is found as a builtin bound to the instance, as long as this is open; the first look makes it.

    The instance has `bind_call(checked)`, which returns what `bind` does, or None once it is closed.  Found, the
    builtin stands in the instance, which `forget_calls` ends.
    """

    def __init__(self, checked: Callable[..., Any], kernel: Any, signature: str) -> None:
        self.checked = checked
        self.kernel = kernel
        self.text = f"{signature}\n{inspect.getdoc(checked)}"

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        if instance is None:
            return self.checked
        checked = MethodType(self.checked, instance)
        bound = instance.bind_call(checked)
        if bound is None:
            return checked
        made = builtin(self.kernel, self.checked.__name__, self.text, bound)
        instance.__dict__[self.checked.__name__] = made
        return made


def compiled_call(kernel: Any, signature: str) -> Callable[[F], F]:
    """Let the method be a builtin made of `kernel`, and be itself for what that one does not take."""

    def decorate(method: F) -> F:
        return cast(F, CompiledMethod(method, kernel, signature)) if BUILTINS else method

    return decorate


def forget_calls(instance: object) -> None:
    """Take from a closed instance its builtins, which hold it."""
    for name in [name for name in instance.__dict__ if isinstance(vars(type(instance)).get(name), CompiledMethod)]:
        del instance.__dict__[name]
