"""Dicts keep every digit; dumps name every field and go as far as the bytes do."""

from __future__ import annotations

import json
import random

import pytest
from msgspec.structs import replace

from tests.tlv.samples import built_in_types, random_record
from tlv.codes import Domain, FeedReason, Flag
from tlv.layout import EventOrigin, Gap, Header, Heartbeat, PoolState, PoolSync, Session
from tlv.message import build, parse
from tlv.record import RECORDS, Record
from tlv.text import hex_dump, message_to_dict, record_to_dict

GAP = build(Domain.SYSTEM, 60, [Gap(5, 9, 1, 1)], sequence=3, flags=Flag.REPLAY | Flag.UNPROVEN)


def from_json(text: str, cls: type[Record]) -> Record:
    """What a reader of the JSON makes of it, by the rule that the documentation gives."""
    fields = json.loads(text)
    values = []
    for name, kind in cls.layout.kinds.items():
        value = fields[name]
        if isinstance(value, str) and not kind.name.startswith("text"):
            value = bytes.fromhex(value[2:]) if value.startswith("0x") else int(value)
        values.append(value)
    return cls(*values)


@pytest.mark.parametrize("number", built_in_types())
def test_record_to_dict_through_json_loses_nothing(number: int) -> None:
    rng = random.Random(number)
    for _ in range(50):
        record = random_record(rng, RECORDS[number])
        assert from_json(json.dumps(record_to_dict(record)), RECORDS[number]) == record


def test_record_to_dict_numbers_beyond_a_double_are_strings() -> None:
    assert record_to_dict(Gap(1 << 53, -(1 << 53), 1, 2)) == {
        "type": "Gap",
        "first": 1 << 53,
        "last": -(1 << 53),
        "scope": 1,
        "reason": 2,
    }
    large = record_to_dict(Gap((1 << 53) + 1, -(1 << 53) - 1, 1, 2))
    assert (large["first"], large["last"]) == ("9007199254740993", "-9007199254740993")


def test_record_to_dict_wide_integers_are_always_strings() -> None:
    sync = record_to_dict(PoolSync(b"\1" * 20, b"\2" * 20, b"\3" * 20, 405, 18, 6, 2, 0, (1 << 256) - 1))
    assert sync["pool"] == "0x" + "01" * 20
    assert sync["reserve0"] == "0"
    assert sync["reserve1"] == str((1 << 256) - 1)
    assert sync["venue"] == 405


def test_message_to_dict_holds_header_records_and_unknown() -> None:
    header = parse(GAP).header
    assert message_to_dict(parse(GAP)) == {
        "header": {name: getattr(header, name) for name in Header.layout.kinds},
        "records": [{"type": "Gap", "first": 5, "last": 9, "scope": 1, "reason": 1}],
        "unknown": 0,
    }


def test_hex_dump_shows_offsets_bytes_names_and_values() -> None:
    lines = [line.split() for line in hex_dump(GAP).splitlines()]
    assert ["00000", "ef", "be", "ad", "de", "magic", "0xdeadbeef"] in lines
    assert ["00004", "04", "domain", "4", "SYSTEM"] in lines
    assert ["00007", "50", "flags", "80", "UNPROVEN|REPLAY"] in lines
    assert ["00020", "66", "18", "TLV", "type", "102", "Gap,", "24", "bytes"] in lines
    assert ["0002a", *["09", "00", "00", "00", "00", "00", "00", "00"], "last", "9"] in lines
    assert ["00034", *["00"] * 6, "_padding"] in lines


@pytest.mark.parametrize("number", built_in_types())
def test_hex_dump_of_any_record_shows_every_byte_once_in_order(number: int) -> None:
    cls = RECORDS[number]
    data = build(cls.layout.domain, 4, [random_record(random.Random(number), cls)])
    dump = hex_dump(data)
    assert bytes_of(dump) == data
    assert all(f" {name} " in dump for name in cls.layout.kinds)


def bytes_of(dump: str) -> bytes:
    """The bytes a dump shows, by its columns."""
    return b"".join(bytes.fromhex(line[7:55]) for line in dump.splitlines() if line[5:7] == "  ")


@pytest.mark.parametrize("length", range(len(GAP)))
def test_hex_dump_of_a_cut_message_shows_all_that_is_left_and_the_error(length: int) -> None:
    dump = hex_dump(GAP[:length])
    assert bytes_of(dump) == GAP[:length]
    assert dump.splitlines()[-1].startswith("HeaderError: message: expected ")


def test_hex_dump_of_a_cut_record_names_the_field_in_which_it_ends() -> None:
    assert "last, cut" in hex_dump(GAP[:46])


def test_hex_dump_of_a_flipped_bit_ends_with_the_checksum_error() -> None:
    damaged = GAP[:40] + bytes([GAP[40] ^ 1]) + GAP[41:]
    assert "first                    281474976710661" in hex_dump(damaged)
    assert hex_dump(damaged, "file x").splitlines()[-1].startswith("ChecksumError: file x: expected checksum 0x")


def test_hex_dump_of_unknown_numbers_shows_them_bare() -> None:
    swapped = bytearray(build(Domain.SYSTEM, 99, [Heartbeat(1, 2, 3, 0, 0, 0, 77, 0, FeedReason.OK)]))
    swapped[4] = 9
    dump = hex_dump(swapped)
    assert [line.split()[-2:] for line in dump.splitlines()[1:4]] == [
        ["domain", "9"],
        ["version", "1"],
        ["source", "99"],
    ]
    assert dump.splitlines()[-1] == "HeaderError: message: expected a domain from 1 to 4, found 9"


def test_hex_dump_of_tlvs_without_layout_or_of_another_size_shows_their_value() -> None:
    head = Header(0xDEADBEEF, Domain.SYSTEM, 1, 60, 0, 0, 0, 11, 0).pack()
    dump = hex_dump(head + bytes([249, 2, 7, 8]) + bytes([102, 2, 7, 8]) + bytes([255, 9, 9]))
    assert "type 249 unknown, 2 bytes" in dump
    assert "type 102 Gap, 2 bytes" in dump
    assert dump.count("value") == 2
    assert "ff 09 09                                         no TLV" in dump


def test_hex_dump_keeps_control_characters_of_a_token_out_of_the_terminal() -> None:
    state = replace(random_record(random.Random(1), PoolState), symbol0="A\x1b[2J\nB")
    dump = hex_dump(build(Domain.MARKET_DATA, 4, [state]))
    assert r"'A\x1b[2J\nB'" in dump
    assert "\x1b" not in dump


def test_hex_dump_shows_signed_and_byte_fields_as_what_they_are() -> None:
    session = random_record(random.Random(2), Session)
    origin = random_record(random.Random(3), EventOrigin)
    assert "0x" + session.ring_uuid.hex() in hex_dump(build(Domain.SYSTEM, 4, [session]))
    assert "0x" + origin.block_hash.hex() in hex_dump(build(Domain.MARKET_DATA, 4, [origin]))
    assert " -2\n" in hex_dump(build(Domain.SYSTEM, 4, [Gap(-2, 1, 1, 1)]))
