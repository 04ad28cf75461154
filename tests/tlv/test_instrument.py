"""Instrument identities: one text for the bytes, and nothing in between is lost or cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlv.codes import Venue
from tlv.errors import TlvError, UsageError
from tlv.instrument import ASSET_TYPES, AssetType, InstrumentId, pool_of, pool_text
from tlv.layout import InstrumentKey
from tlv.venues import VENUE_NAMES, VENUES

WMATIC_USDC = "polygon.uniswap_v3:pool:0x45dda9cb7c25131df268515131f647d726f50608"

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
symbols = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
ids = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())
NAMES_OF = {AssetType.POOL: addresses | ids, AssetType.TOKEN: addresses}
instruments = st.sampled_from(AssetType).flatmap(
    lambda kind: st.builds(InstrumentId, st.sampled_from(Venue), st.just(kind), NAMES_OF.get(kind, symbols))
)


def test_instrument_of_the_design_has_its_text_and_bytes() -> None:
    pool = InstrumentId.parse(WMATIC_USDC)
    assert pool == InstrumentId(Venue.UNISWAP_V3_POLYGON, AssetType.POOL, WMATIC_USDC[-42:])
    assert str(pool) == WMATIC_USDC
    assert pool.pack().hex() == "95010114" + WMATIC_USDC[-40:] + "00" * 16


@given(instruments)
def test_instrument_to_bytes_and_text_and_back_is_itself(instrument: InstrumentId) -> None:
    raw = instrument.pack()
    assert len(raw) == InstrumentKey.layout.size == 40
    assert InstrumentId.unpack(raw) == instrument
    assert InstrumentId.parse(str(instrument)) == instrument


@given(instruments, instruments)
def test_two_instruments_share_neither_bytes_nor_text(one: InstrumentId, other: InstrumentId) -> None:
    assert (one == other) == (one.pack() == other.pack()) == (str(one) == str(other))


@given(st.binary(min_size=40, max_size=40))
def test_unpack_of_any_bytes_refuses_or_returns_what_packs_to_them(raw: bytes) -> None:
    try:
        instrument = InstrumentId.unpack(raw)
    except UsageError:
        return
    assert instrument.pack()[:36] == raw[:36]


@given(st.sampled_from(Venue), st.sampled_from(AssetType), st.integers(0, 255), st.binary(min_size=32, max_size=32))
def test_unpack_of_plausible_bytes_refuses_or_returns_what_packs_to_them(
    venue: Venue, asset_type: AssetType, length: int, name: bytes
) -> None:
    raw = InstrumentKey(venue, asset_type, length, name[:length].ljust(32, b"\0")).pack()
    try:
        instrument = InstrumentId.unpack(raw)
    except UsageError:
        return
    assert instrument.pack()[:36] == raw[:36]


def test_symbol_that_spells_an_address_stays_apart_from_the_address() -> None:
    raw = b"ABCDEFGHIJKLMNOPQRST"
    token = InstrumentId(Venue.POLYGON, AssetType.TOKEN, "0x" + raw.hex())
    currency = InstrumentId(Venue.POLYGON, AssetType.CURRENCY, raw.decode())
    assert token.pack()[4:] == currency.pack()[4:]
    assert token.pack() != currency.pack()
    assert str(token) != str(currency)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "polygon",
        "polygon:currency",
        "polygon:currency:",
        "polygon:currency:TWENTY-ONE-CHARACTERS",
        "polygon:currency:A B",
        "polygon:currency:\N{GREEK CAPITAL LETTER ALPHA}",
        "polygon:currency:USDC\n",
        "polygon:CURRENCY:USDC",
        "Polygon:currency:USDC",
        "solana:currency:SOL",
        "polygon:bond:USDC",
        "polygon:token:USDC",
        "polygon:token:0x45DDa9cb7c25131DF268515131f647d726f50608",
        "polygon:token:0x45dda9cb7c25131df268515131f647d726f5060",
        "polygon:token:0x45dda9cb7c25131df268515131f647d726f506080",
        " polygon:currency:USDC",
    ],
)
def test_parse_text_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="instrument: expected"):
        InstrumentId.parse(text)


@pytest.mark.parametrize(
    ("venue", "asset_type", "length", "name"),
    [
        (999, AssetType.CURRENCY, 3, b"POL"),
        (Venue.POLYGON, 99, 3, b"POL"),
        (Venue.POLYGON, 0, 3, b"POL"),
        (Venue.POLYGON, AssetType.CURRENCY, 0, b""),
        (Venue.POLYGON, AssetType.CURRENCY, 2, b"POL"),
        (Venue.POLYGON, AssetType.CURRENCY, 4, b"POL"),
        (Venue.POLYGON, AssetType.CURRENCY, 21, b"A" * 20),
        (Venue.POLYGON, AssetType.CURRENCY, 3, b"P\xd6L"),
        (Venue.POLYGON, AssetType.TOKEN, 19, b"A" * 19),
    ],
)
def test_unpack_bytes_that_are_no_instrument_are_refused(venue: int, asset_type: int, length: int, name: bytes) -> None:
    with pytest.raises(UsageError, match="instrument: "):
        InstrumentId.unpack(InstrumentKey(venue, asset_type, length, name.ljust(32, b"\0")).pack())


def test_unpack_too_few_bytes_are_refused() -> None:
    with pytest.raises(TlvError, match="InstrumentKey takes 40 bytes, found 23 at 0"):
        InstrumentId.unpack(bytes(23))


@pytest.mark.parametrize(("venue", "asset_type"), [(1, AssetType.CURRENCY), (Venue.POLYGON, 9)])
def test_instrument_of_unknown_numbers_is_refused(venue: int, asset_type: int) -> None:
    with pytest.raises(UsageError, match="instrument: expected"):
        InstrumentId(venue, asset_type, "POL")


def test_every_venue_and_asset_type_has_one_name() -> None:
    assert set(VENUE_NAMES) == set(Venue)
    assert [VENUES.code_of(VENUE_NAMES[venue]) for venue in Venue] == list(Venue)
    assert set(ASSET_TYPES.values()) == set(AssetType)


@pytest.mark.parametrize("size", [20, 32])
def test_pool_of_every_spelling_is_the_same_pool(size: int) -> None:
    pool = bytes(range(1, size + 1))
    text = pool_text(Venue.UNISWAP_V3_POLYGON, pool)
    assert text == f"polygon.uniswap_v3:pool:0x{pool.hex()}"
    assert {pool_of(spelled) for spelled in (pool, f"0x{pool.hex()}", f"0x{pool.hex().upper()}", text)} == {pool}


def test_pool_text_of_a_venue_without_a_name_begins_with_its_code() -> None:
    text = pool_text(64_999, bytes(20))
    assert text == f"64999:pool:0x{'00' * 20}"
    assert pool_of(text) == bytes(20)


@pytest.mark.parametrize(
    "value", [b"", bytes(19), bytes(21), "0x", "0x" + "0" * 41, "polygon.uniswap_v3:token:0x" + "0" * 40, "a:pool:0x"]
)
def test_pool_of_what_names_no_pool_is_refused(value: bytes | str) -> None:
    with pytest.raises(UsageError, match="expected"):
        pool_of(value)
