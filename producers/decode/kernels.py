"""Logs to sealed messages, compiled: the rules of `producers.decode.cold`, for many logs in one pass.

Kernels only.  They never raise and never allocate.  Each event is a list of *moves* (`producers.decode.moves`): a move
takes the next word, checks it against its ABI type and stores it at the offset of its record field.  Interpreting a
dozen short lists was chosen over one kernel per event: reading digits dominates (22 ns a word), and the table stands
once.

The text of a batch: first FIXED_FIELDS fields of every log, then the topics of every log.  Field k has `lengths[k]`
characters from `starts[k]`; a field that the node left out has none.

    block number | transaction index | log index | block hash | transaction hash | data |  ... | topics of log 0 | ...

Rules are tried in the order of `Refusal`; among values, bad hex anywhere comes before a value out of range, and that
before one that no contract says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from producers.decode.cold import Refusal
from producers.decode.fields import (
    BAD_HEX,
    VALUE_OUT_OF_RANGE,
    negate,
    read_field_number,
    read_field_word,
    store,
    store_text_order,
)
from producers.decode.moves import ABSENT, ADDRESS_SIZE, COPY, MOVE, SHAPE, MoveKind, Table, Topics
from producers.decode.pool_table import POOL_ROW, VerifiedEmitter
from producers.kinds.events import BOUNDS, Relation
from producers.node.hex import WORD_DIGITS, fits_signed, fits_unsigned, is_hex_shaped, read_word
from tlv.buffers import Bytes, Limbs, Longs
from tlv.codes import Domain
from tlv.copying import copy_bytes
from tlv.jit import kernel
from tlv.kernels import put_header, put_tlv, seal
from tlv.layout import EVENT_ORIGIN, EventOrigin

FIXED_FIELDS = 6
DATA = 5

# Kernels see plain integers.
NONE = int(Refusal.NONE)
NO_TOPICS = int(Refusal.NO_TOPICS)
UNKNOWN_EVENT = int(Refusal.UNKNOWN_EVENT)
UNKNOWN_EMITTER = int(Refusal.UNKNOWN_EMITTER)
FOREIGN_EVENT = int(Refusal.FOREIGN_EVENT)
WRONG_TOPIC_COUNT = int(Refusal.WRONG_TOPIC_COUNT)
WRONG_DATA_SIZE = int(Refusal.WRONG_DATA_SIZE)
IMPOSSIBLE_VALUE = int(Refusal.IMPOSSIBLE_VALUE)
DROP, UNSIGNED, SIGNED, SPLIT, ADDRESS, BY_ORDER, WORD, DROP_SIGNED, PRICE = (int(kind) for kind in MoveKind)
FIRST, ABOVE, DIFFERENT = int(Relation.FIRST), int(Relation.ABOVE), int(Relation.DIFFERENT)
MARKET_DATA = int(Domain.MARKET_DATA)
ORIGIN_TYPE = EventOrigin.layout.type
ORIGIN_SIZE = EventOrigin.layout.size
TOKEN1_AT = VerifiedEmitter.layout.offsets["token1"]
ROLE_AT = VerifiedEmitter.layout.offsets["role"]
PROTOCOL_AT = VerifiedEmitter.layout.offsets["protocol"]
FLIPPED_AT = VerifiedEmitter.layout.offsets["flipped"]
BLOCK_NUMBER_AT = EventOrigin.layout.offsets["block_number"]
BLOCK_HASH_AT = EventOrigin.layout.offsets["block_hash"]
TRANSACTION_HASH_AT = EventOrigin.layout.offsets["transaction_hash"]
LEAST_PRICE, LARGEST_PRICE = (
    np.array([bound >> 64 * limb & (1 << 64) - 1 for limb in range(4)], dtype=np.uint64)
    for bound in BOUNDS["sqrt_price_x96"][:2]
)
POOL_SIZE = POOL_ROW.itemsize
LARGEST_U32 = (1 << 32) - 1
LARGEST_I64 = (1 << 63) - 1

CONTEXT = np.dtype([(name, np.int64) for name in ("row", "flags", "block_timestamp", "receive_time_ns")])
"""What the caller knows of a log and the node did not say: the emitter's row in the pool table (-1 = none), header
flags, its block's timestamp in seconds, and when it was received."""
Contexts = np.ndarray[Any, np.dtype[np.void]]


@kernel
def is_above(word: Limbs, other: Limbs) -> bool:
    """Whether an unsigned word is greater than another."""
    for limb in (3, 2, 1, 0):
        if word[limb] != other[limb]:
            return bool(word[limb] > other[limb])
    return False


@kernel
def is_same(word: Limbs, other: Limbs) -> bool:
    """Whether two words are one."""
    return bool(word[0] == other[0] and word[1] == other[1] and word[2] == other[2] and word[3] == other[3])


@kernel
def identify(topics: Topics, text: Bytes, start: int, length: int, word: Limbs) -> tuple[int, int]:
    """Which event topic0 names: (refusal, row in `topics` or -1)."""
    if length == 0:
        return NO_TOPICS, -1
    if not read_field_word(text, start, length, word):
        return BAD_HEX, -1
    for event in range(len(topics)):
        if topics[event, 3] == word[3] and is_same(topics[event], word):
            return NONE, event
    return UNKNOWN_EVENT, -1


@kernel
def check_emitter(emitters: Bytes, shapes: Table, event: int, pools: Bytes, row: int) -> int:
    """Whether the contract in `row` is one that emits `event`."""
    if row < 0 or row >= len(pools):
        return UNKNOWN_EMITTER
    if pools[row, ROLE_AT] != shapes[event]["role"] or emitters[event, pools[row, PROTOCOL_AT]] == 0:
        return FOREIGN_EVENT
    return NONE


@kernel
def check_shape(shape: Any, text: Bytes, lengths: Longs, topic: int, topics: int, start: int, length: int) -> int:
    """Whether a log has the topics and the data size of an event.  Trailing empty topics are padding."""
    while topics > 1 and lengths[topic + topics - 1] == 0:
        topics -= 1
    if topics != shape["indexed"] + 1:
        return WRONG_TOPIC_COUNT
    if not is_hex_shaped(text, start, length):
        return BAD_HEX
    if length != 2 + WORD_DIGITS * shape["words"]:
        return WRONG_DATA_SIZE
    return NONE


@kernel
def put_argument(move: Any, word: Limbs, flipped: bool, out: Bytes, record: int) -> int:
    """Check `word` against the type of one argument and store it in the record at `record`; `flipped`: the row's."""
    kind, bits = move["kind"], move["bits"]
    into, size = record + move["into"], move["size"]
    if kind in (SIGNED, SPLIT, DROP_SIGNED):
        if not fits_signed(word, bits):
            return VALUE_OUT_OF_RANGE
    elif not fits_unsigned(word, bits):
        return VALUE_OUT_OF_RANGE
    if kind in (SIGNED, UNSIGNED, PRICE):
        store(out, into, word, size)
    elif kind in (ADDRESS, WORD):
        store_text_order(out, into, word, size)
    elif kind == BY_ORDER:
        store(out, record + move["out_of"] if flipped else into, word, size)
    elif kind == SPLIT and word[3] >> np.uint64(63) == 0:
        store(out, into, word, size)
    elif kind == SPLIT:
        negate(word)
        store(out, record + move["out_of"], word, size)
    return NONE


@kernel
def is_bounded(move: Any, word: Limbs) -> bool:
    """Whether a word, which is a value of its type, is one that a contract says."""
    if move["kind"] == PRICE:
        return not is_above(LEAST_PRICE, word) and not is_above(word, LARGEST_PRICE)
    if move["least"] > move["most"]:
        return True
    value = np.int64(word[0])
    rest = np.uint64(value >> np.int64(63))
    if word[1] != rest or word[2] != rest or word[3] != rest:
        return False
    return bool(move["least"] <= value <= move["most"] or (move["besides"] != 0 and value == move["besides"]))


@kernel
def is_related(move: Any, word: Limbs) -> bool:
    """Whether a word is to the first of its pair, which is kept in the limbs behind it, what its argument says."""
    relation = move["relation"]
    if relation == FIRST:
        for limb in range(4):
            word[4 + limb] = word[limb]
    elif relation == ABOVE and move["kind"] == SIGNED:
        return bool(np.int64(word[0]) > np.int64(word[4]))  # ticks: a limb holds them
    elif relation == ABOVE:
        return is_above(word, word[4:])
    elif relation == DIFFERENT:
        return not is_same(word, word[4:])
    return True


@kernel
def is_proven(move: Any, word: Limbs, pool: Bytes) -> bool:
    """Whether a token is the one that the row has, if it knows its tokens."""
    if move["proven"] == ABSENT:
        return True
    known, same = False, True
    for i in range(ADDRESS_SIZE):
        known = known or pool[TOKEN1_AT + i] != 0
        limb, byte = (ADDRESS_SIZE - 1 - i) >> 3, (ADDRESS_SIZE - 1 - i) & 7
        same = same and pool[move["proven"] + i] == (word[limb] >> np.uint64(8 * byte)) & np.uint64(0xFF)
    return same or not known


@kernel
def is_possible(move: Any, word: Limbs, pool: Bytes) -> bool:
    """Whether a contract says what `word` says."""
    return is_bounded(move, word) and is_related(move, word) and is_proven(move, word, pool)


@kernel
def put_record(
    shape: Any, moves: Table, copies: Table, pools: Bytes, row: int,
    text: Bytes, starts: Longs, lengths: Longs, topic: int, data: int, word: Limbs, out: Bytes, record: int,
) -> int:  # fmt: skip
    """Fill the record at `record` of `out`: zeros, then what the row knows, then the arguments."""
    out[record : record + shape["size"]] = 0
    for copy in range(shape["first_copy"], shape["end_copy"]):
        run = copies[copy]
        copy_bytes(out, record + run["target"], pools[row], run["source"], run["size"])
    refusal, impossible = NONE, False
    flipped = pools[row, FLIPPED_AT] != 0
    move = shape["first_move"]
    for i in range(1, shape["indexed"] + 1):
        if not read_field_word(text, starts[topic + i], lengths[topic + i], word):
            return BAD_HEX
        if moves[move]["checked"] != 0 and not is_possible(moves[move], word, pools[row]):
            impossible = True
        refusal = max(refusal, put_argument(moves[move], word, flipped, out, record))
        move += 1
    for i in range(shape["words"]):
        if not read_word(text, data + 2 + WORD_DIGITS * i, word):
            return BAD_HEX
        if moves[move]["checked"] != 0 and not is_possible(moves[move], word, pools[row]):
            impossible = True
        refusal = max(refusal, put_argument(moves[move], word, flipped, out, record))
        move += 1
    return IMPOSSIBLE_VALUE if impossible and refusal == NONE else refusal


@kernel
def put_origin(
    text: Bytes, starts: Longs, lengths: Longs, first: int, context: Any, word: Limbs, out: Bytes, pos: int
) -> int:
    """Fill the EventOrigin at `pos` from the fixed fields of a log, which begin with field `first`."""
    out[pos : pos + ORIGIN_SIZE] = 0
    origin = out[pos : pos + ORIGIN_SIZE].view(EVENT_ORIGIN)[0]
    origin["block_timestamp"] = context["block_timestamp"]
    origin["receive_time_ns"] = context["receive_time_ns"]
    block_number = read_field_number(text, starts[first], lengths[first], LARGEST_I64)
    if block_number < 0:
        return -block_number
    transaction_index = read_field_number(text, starts[first + 1], lengths[first + 1], LARGEST_U32)
    if transaction_index < 0:
        return -transaction_index
    log_index = read_field_number(text, starts[first + 2], lengths[first + 2], LARGEST_U32)
    if log_index < 0:
        return -log_index
    origin["block_number"] = block_number
    origin["transaction_index"] = transaction_index
    origin["log_index"] = log_index
    for field, at in ((first + 3, pos + BLOCK_HASH_AT), (first + 4, pos + TRANSACTION_HASH_AT)):
        if lengths[field] == 0:
            continue
        if not read_field_word(text, starts[field], lengths[field], word):
            return BAD_HEX
        store_text_order(out, at, word, 32)
    return NONE


@kernel
def put_message(
    shape: Any, moves: Table, copies: Table, pools: Bytes,
    text: Bytes, starts: Longs, lengths: Longs, first: int, topic: int, context: Any,
    source: int, sequence: int, timestamp_ns: int, word: Limbs, out: Bytes, start: int,
) -> tuple[int, int]:  # fmt: skip
    """Write one log as a sealed message at `start`: (refusal, where the next message goes)."""
    pos = put_header(out, start, MARKET_DATA, source, context["flags"], sequence, timestamp_ns)
    record = put_tlv(out, pos, shape["type"], shape["size"])
    data, row = starts[first + DATA], context["row"]
    refusal = put_record(shape, moves, copies, pools, row, text, starts, lengths, topic, data, word, out, record)
    if refusal != NONE:
        return refusal, start
    pos = put_tlv(out, record + shape["size"], ORIGIN_TYPE, ORIGIN_SIZE)
    refusal = put_origin(text, starts, lengths, first, context, word, out, pos)
    if refusal != NONE:
        return refusal, start
    if shape["block_number"] != ABSENT:
        copy_bytes(out, record + shape["block_number"], out, pos + BLOCK_NUMBER_AT, 8)
    seal(out, start, pos + ORIGIN_SIZE)
    return NONE, pos + ORIGIN_SIZE


@kernel
def decode_logs(
    topics: Topics, emitters: Bytes, shapes: Table, moves: Table, copies: Table,
    text: Bytes, starts: Longs, lengths: Longs, topic_counts: Longs, pools: Bytes, contexts: Contexts,
    source: int, first_sequence: int, timestamp_ns: int,
    word: Limbs, out: Bytes, offsets: Longs, sizes: Longs, refusals: Bytes, events: Longs,
) -> int:  # fmt: skip
    """Decode every log of a batch; the messages stand one after the other in `out`.  Returns how many there are.

    The first five arguments are a `producers.decode.moves.Tables`, and `events[i]` is a row of it.
    `refusals[i]` and `events[i]` are of log i; `offsets[k]` and `sizes[k]` of message k, which has sequence
    `first_sequence + k`.  `out` has room for MAX_MESSAGE_SIZE bytes a log; `word` is 8 limbs of scratch.
    """
    topic = FIXED_FIELDS * len(topic_counts)
    messages, pos = 0, 0
    for i in range(len(topic_counts)):
        first, count, context = FIXED_FIELDS * i, topic_counts[i], contexts[i]
        refusal, event = NO_TOPICS, -1
        if count > 0:
            refusal, event = identify(topics, text, starts[topic], lengths[topic], word)
        if refusal == NONE:
            refusal = check_emitter(emitters, shapes, event, pools, context["row"])
        if refusal == NONE:
            data, size = starts[first + DATA], lengths[first + DATA]
            refusal = check_shape(shapes[event], text, lengths, topic, count, data, size)
        if refusal == NONE:
            refusal, end = put_message(
                shapes[event], moves, copies, pools, text, starts, lengths, first, topic, context,
                source, first_sequence + messages, timestamp_ns, word, out, pos,
            )  # fmt: skip
            if refusal == NONE:
                offsets[messages], sizes[messages] = pos, end - pos
                messages, pos = messages + 1, end
        refusals[i], events[i] = refusal, event
        topic += count
    return messages


@kernel
def decode_batch(
    topics: Topics, emitters: Bytes, shapes: Bytes, moves: Bytes, copies: Bytes,
    text: Bytes, lengths: Longs, logs: int, pools: Bytes, contexts: Bytes,
    source: int, first_sequence: int, timestamp_ns: int,
    word: Limbs, starts: Longs, out: Bytes, offsets: Longs, sizes: Longs, refusals: Bytes, events: Longs,
) -> int:  # fmt: skip
    """`decode_logs` of the fields of `logs` logs that follow each other in `text`, with their topic counts behind them.

    Its tables are bytes here, since numba looks up the type of an array of records in a table of descriptions: a call
    takes 5 us, which took 7.  `starts` has room for each field.
    """
    fields = lengths.size - logs
    start = 0
    for field in range(fields):
        starts[field] = start
        start += lengths[field]
    return decode_logs(
        topics, emitters, shapes.view(SHAPE), moves.view(MOVE), copies.view(COPY),
        text, starts[:fields], lengths[:fields], lengths[fields:], pools.reshape(-1, POOL_SIZE), contexts.view(CONTEXT),
        source, first_sequence, timestamp_ns, word, out, offsets, sizes, refusals, events,
    )  # fmt: skip
