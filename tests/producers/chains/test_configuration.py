"""Chain configuration, proven on real pools."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from producers.chains import configuration
from producers.chains.configuration import BUNDLED, Factory, load_chain
from producers.kinds import uniswap_v2
from producers.kinds.kind import Fee, Proof
from tlv.codes import Source
from tlv.errors import UsageError
from tlv.venues import BUNDLED_VENUES, VENUES
from tools.recording.bundle import RECORDED, bundled_recording

PROVEN = {"polygon": 116, "ethereum": 952}
"""At least so many pools of the bundled recordings are proven."""
CHAINS = Path(__file__).parents[3] / "producers" / "chains"
KNOWN_POOLS = Path(__file__).parents[2] / "data" / "known_pools.jsonl.gz"
SOURCE = re.compile(r"# (@?[\w.-]+/[\w.-]+(?: [\d.]+)?): \S+(?: \(.*\))?")
"""Repository, or package and version, and the file in it; a remark."""


def known_pools() -> list[dict[str, Any]]:
    with gzip.open(KNOWN_POOLS) as lines:
        return [json.loads(line) for line in lines]


def address_of(row: dict[str, Any], factory: Factory) -> str:
    tokens = (bytes.fromhex(row["token0"][2:]), bytes.fromhex(row["token1"][2:]))
    return f"0x{factory.pool_address(*tokens, *row['words']).hex()}"


@pytest.mark.parametrize("name", RECORDED)
def test_chain_computes_the_address_of_every_proven_pool(name: str) -> None:
    chain = load_chain(name)
    makers = {factory.deployer or factory.address: factory for factory in chain.factories}
    with gzip.open(bundled_recording(name) / "pools.jsonl.gz") as lines:
        rows = [row for row in map(json.loads, lines) if row["method"] == "CREATE2_verified"]
    rows = [row for row in rows if row["chainId"] == chain.chain_id and row["factory_or_deployer"] in makers]
    for row in rows:
        maker = makers[row["factory_or_deployer"]]
        tokens = (bytes.fromhex(row["token0"][2:]), bytes.fromhex(row["token1"][2:]))
        fee = row["fee_pips"] if maker.kind.fee is Fee.OWN else 0
        assert maker.pool_address(*tokens, fee) == bytes.fromhex(row["pool"][2:])
        assert maker.pool_address(*reversed(tokens), fee) != bytes.fromhex(row["pool"][2:])
    assert len(rows) >= PROVEN[name]


@pytest.mark.parametrize("name", BUNDLED)
def test_every_init_code_hash_gives_the_addresses_of_real_pools(name: str) -> None:
    makers = {factory.address: factory for factory in load_chain(name).factories}
    rows = [row for row in known_pools() if row["chain"] == name and row["factory"] in makers]
    assert [row for row in rows if address_of(row, makers[row["factory"]]) != row["pool"]] == []
    proven = {row["factory"] for row in rows} | {factory.address for factory in recorded_makers(name)}
    hashed = {factory.address for factory in makers.values() if factory.init_code_hash is not None}
    assert hashed <= proven, f"no pool is known of {sorted(hashed - proven)}"


def recorded_makers(name: str) -> Iterator[Factory]:
    """The factories whose pools the bundled recording proves."""
    if name not in RECORDED:
        return
    with gzip.open(bundled_recording(name) / "pools.jsonl.gz") as lines:
        proven = {row["factory_or_deployer"] for row in map(json.loads, lines) if row["method"] == "CREATE2_verified"}
    yield from (one for one in load_chain(name).factories if (one.deployer or one.address) in proven)


def test_pools_differ_by_each_word_that_names_them() -> None:
    chains = {name: load_chain(name) for name in BUNDLED}
    for row in known_pools():
        for factory in chains[row["chain"]].factories:
            if factory.address == row["factory"] and row["words"]:
                other = {**row, "words": [1 - word if word < 2 else word + 1 for word in row["words"]]}
                assert address_of(other, factory) != row["pool"]


@pytest.mark.parametrize("name", BUNDLED)
def test_every_factory_has_two_sources_that_agree_beside_it(name: str) -> None:
    comments: list[str] = []
    found = 0
    for line in (CHAINS / f"{name}.toml").read_text().splitlines():
        if line == "[[factories]]":
            owners = {source[1].partition("/")[0] for source in map(SOURCE.fullmatch, comments) if source is not None}
            found += 1
            assert len(owners) > 1, f"{name}, factory {found}: {comments}"
        comments = [*comments, line] if line.startswith("# ") else []
    assert found == len(load_chain(name).factories)


def test_venues_of_bundled_chains_are_of_one_chain_each_and_leave_room_for_those_of_users() -> None:
    codes: Counter[int] = Counter()
    for name in BUNDLED:
        chain = load_chain(name)
        assert {venue.name.partition(".")[0] for venue in chain.venues} <= {name}
        assert {venue.name for venue in chain.venues} <= {factory.venue for factory in chain.factories}
        codes.update({factory.venue_code for factory in chain.factories})
    assert set(codes.values()) == {1}
    assert not [code for code in codes if 1000 <= code < 60_000]


def test_chains_differ_in_configuration_only() -> None:
    polygon, ethereum, base = map(load_chain, BUNDLED)
    assert (polygon.chain_id, polygon.source_code) == (137, Source.POLYGON_COLLECTOR)
    assert (ethereum.chain_id, ethereum.source_code) == (1, Source.ETHEREUM_COLLECTOR)
    assert (base.chain_id, base.source_code) == (8453, Source.BASE_COLLECTOR)
    assert len({polygon.ring, ethereum.ring, base.ring}) == 3
    assert len({polygon.genesis, ethereum.genesis, base.genesis}) == 3
    assert not polygon.bloom_proves(64)
    assert polygon.bloom_proves(65)
    assert ethereum.bloom_proves(64) and base.bloom_proves(64)


def test_no_source_of_the_collector_knows_a_chain_by_its_name() -> None:
    names = re.compile(rf"[\"'](?:{'|'.join(BUNDLED)}|{'|'.join(map(str, (137, 8453)))})[\"']")
    root = CHAINS.parent
    knows = [path.relative_to(root).as_posix() for path in root.rglob("*.py") if names.search(path.read_text())]
    assert knows == ["chains/configuration.py"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "name"),
        ("chain_id = 'x'", "chain_id"),
        ("name = 'a'\nchain_id = 0\nsource = 'POLYGON_COLLECTOR'", "chain_id"),
        ("colour = 1", "colour"),
        ("= 1", "Invalid"),
    ],
)
def test_chain_file_that_is_wrong_is_refused_by_key(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "chain.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=named):
        load_chain(str(path))


def test_chain_file_whose_identity_lacks_its_hash_is_refused(tmp_path: Path) -> None:
    source = (CHAINS / "polygon.toml").read_text()
    path = tmp_path / "chain.toml"
    path.write_text(re.sub(r"^identity = .*$", "identity = { number = 0 }", source, flags=re.MULTILINE))
    with pytest.raises(UsageError, match="hash"):
        load_chain(str(path))


@pytest.mark.parametrize("explorer", ["polygonscan.com", "ftp://polygonscan.com", 7])
def test_chain_file_whose_explorer_is_no_address_of_a_page_is_refused(tmp_path: Path, explorer: object) -> None:
    source = (CHAINS / "polygon.toml").read_text()
    path = tmp_path / "chain.toml"
    path.write_text(re.sub(r"^explorer = .*$", f"explorer = {json.dumps(explorer)}", source, flags=re.MULTILINE))
    with pytest.raises(UsageError, match="explorer: expected an http:// or https:// URL"):
        load_chain(str(path))
    path.write_text(re.sub(r"^explorer = .*$", "", source, flags=re.MULTILINE))
    assert load_chain(str(path)).explorer is None
    assert load_chain("polygon").explorer == "https://polygonscan.com"


def test_chain_file_with_unknown_venue_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chain.toml"
    path.write_text((CHAINS / "polygon.toml").read_text().replace("QUICKSWAP_V2", "NOWHERE"))
    with pytest.raises(UsageError, match="NOWHERE"):
        load_chain(str(path))


ONE_FACTORY = """
name = "mine"
chain_id = 5
source = "ETHEREUM_COLLECTOR"
ring = "market.mine"
wrapped_native = "0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270"
finality_blocks = 8
"""
FACTORY = {"venue": "QUICKSWAP_V2", "protocol": "UNISWAP_V2", "address": f"0x{'5c' * 20}"}


def one_factory(folder: Path, *tables: dict[str, object]) -> str:
    """A chain file with these factories."""
    path = folder / "mine.toml"
    lines = ["\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) for table in tables]
    path.write_text(ONE_FACTORY + "".join(f"[[factories]]\n{table}\n" for table in lines))
    return str(path)


def test_factory_without_init_code_hash_is_proven_by_its_kinds_lookup_or_its_own(tmp_path: Path) -> None:
    (plain,) = load_chain(one_factory(tmp_path, FACTORY)).factories
    assert (plain.init_code_hash, plain.lookup_function) == (None, "getPair(address,address)")
    own = {**FACTORY, "lookup": "pairFor(address,address)", "fee_call": "getFee(address)"}
    (named,) = load_chain(one_factory(tmp_path, own)).factories
    assert (named.lookup_function, named.fee_call) == ("pairFor(address,address)", "getFee(address)")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"protocol": "UNISWAP_V9"}, "factories[0].protocol: expected one of UNISWAP_V2"),
        ({"venue": "mine.nowhere"}, "factories[0].venue: expected a venue"),
        ({"address": "0x5c"}, "factories[0].address: expected"),
        ({"init_code_hash": "0x" + "ab" * 31}, "factories[0].init_code_hash: expected 0x and 64 hex digits"),
        ({"init_code_hash": "0x" + "ab" * 33}, "factories[0].init_code_hash: expected 0x and 64 hex digits"),
        ({"init_code_hash": 7}, "factories[0].init_code_hash: expected 0x and 64 hex digits"),
        ({"lookup": "getPair"}, "factories[0].lookup: expected a function of two addresses"),
        ({"lookup": "getPair()"}, "factories[0].lookup: expected a function of two addresses"),
        ({"lookup": "getPair(address, address)"}, "factories[0].lookup: expected a function of two addresses"),
        ({"lookup": "getPair(uint256,address)"}, "factories[0].lookup: expected a function of two addresses"),
        ({"lookup": "getPair(address,address)", "init_code_hash": "0x" + "ab" * 32}, "factories[0].lookup: .* beside"),
        ({"fee_call": "fee"}, "factories[0].fee_call: expected a view function"),
        ({"fee_pips": 1_000_000}, "factories[0].fee_pips: expected a whole number"),
        ({"positions": "0x12"}, "factories[0].positions: expected"),
        ({"deployer": "0x12"}, "factories[0].deployer: expected"),
        ({"colour": "red"}, "factories[0].colour: unknown key"),
        ({"address": f"0x{'00' * 20}"}, "factories[0].address: expected the address of a contract, found '0x00"),
        ({"init_code_hash": f"0x{'00' * 32}"}, "factories[0].init_code_hash: expected keccak256 of code"),
        ({"init_code_hash": f"0x{keccak(b'').hex()}"}, "factories[0].init_code_hash: expected keccak256 of code"),
        ({"deployer": f"0x{'5d' * 20}"}, "factories[0].deployer: expected an init_code_hash beside it"),
        ({"protocol": "uniswap_v2"}, "found 'uniswap_v2'; did you mean UNISWAP_V2"),
        ({"venue": "polygon.quickswap_v22"}, "found 'polygon.quickswap_v22'; did you mean polygon.quickswap_v2"),
        ({"venue": "x" * 10_000}, f"found '{'x' * 79}..."),
    ],
)
def test_factory_that_cannot_be_is_refused_by_its_key(tmp_path: Path, wrong: dict[str, object], named: str) -> None:
    pattern = named.replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(UsageError, match=rf"chain .*{pattern}"):
        load_chain(one_factory(tmp_path, {**FACTORY, **wrong}))


@pytest.mark.parametrize(
    ("protocol", "key", "value", "named"),
    [
        (
            "UNISWAP_V3",
            "fee_pips",
            3000,
            "expected none, no UNISWAP_V3 pool has a fee of its factory: each pool says its",
        ),
        ("ALGEBRA", "fee_pips", 3000, "expected none, no ALGEBRA pool has a fee of its factory: it moves"),
        ("CURVE", "fee_call", "getFee(address)", "expected none, no CURVE pool has a fee of its factory"),
        ("UNISWAP_V2", "positions", f"0x{'5d' * 20}", "expected none, no UNISWAP_V2 pool is proven by it"),
        ("UNISWAP_V4", "custom_deployers", [f"0x{'5d' * 20}"], "expected none, no UNISWAP_V4 pool is proven by it"),
        ("BALANCER_V2", "lookup", "getPair(address,address)", "expected none, no BALANCER_V2 pool is looked up"),
        ("UNISWAP_V3", "lookup", "getPool(address,address)", r"a UNISWAP_V3 pool \(two addresses, fee\(\)\), found"),
        ("UNISWAP_V2", "lookup", "getPair(address,address,bool)", r"of a UNISWAP_V2 pool \(two addresses\), found"),
        (
            "SOLIDLY",
            "lookup",
            "getPair(address,address,banana)",
            "expected a function of two addresses and single words",
        ),
    ],
)
def test_key_that_a_kind_does_not_read_is_refused_by_kind(
    tmp_path: Path, protocol: str, key: str, value: object, named: str
) -> None:
    with pytest.raises(UsageError, match=rf"factories\[0\]\.{key}: .*{named}"):
        load_chain(one_factory(tmp_path, {**FACTORY, "protocol": protocol, key: value}))


def test_fee_of_a_factory_that_says_each_pools_is_refused(tmp_path: Path) -> None:
    both = {**FACTORY, "protocol": "VELODROME", "fee_pips": 500, "fee_call": "getFee(address,bool)"}
    with pytest.raises(UsageError, match=r"factories\[0\]\.fee_pips: expected none beside fee_call"):
        load_chain(one_factory(tmp_path, both))


@pytest.mark.parametrize(
    ("protocol", "key", "value"),
    [
        ("UNISWAP_V4", "positions", f"0x{'5d' * 20}"),
        ("ALGEBRA_INTEGRAL", "custom_deployers", [f"0x{'5d' * 20}"]),
        ("DODO", "lookup", "poolsOf(address,address)"),
        ("SLIPSTREAM", "lookup", "poolOf(address,address,int24)"),
        ("VELODROME", "fee_call", "getFee(address,bool)"),
        ("UNISWAP_V3", "fee_pips", 0),
    ],
)
def test_key_that_a_kind_reads_is_taken(tmp_path: Path, protocol: str, key: str, value: object) -> None:
    assert load_chain(one_factory(tmp_path, {**FACTORY, "protocol": protocol, key: value})).factories[0].address


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, f"chain_id = {'9' * 5000}", "\x00", 'name = "\ud800"'])
def test_file_that_no_reader_of_toml_takes_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "chain.toml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UsageError, match=r"chain .*chain\.toml: the file: Invalid TOML: [^\n]+$"):
        load_chain(str(path))


def test_factory_that_stands_twice_is_refused_by_its_second_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"factories\[1\]\.address: expected each factory once, found 0x(5c)+ again"):
        load_chain(one_factory(tmp_path, FACTORY, {**FACTORY, "venue": "SUSHISWAP_POLYGON"}))


def test_factory_of_a_kind_without_a_lookup_needs_an_init_code_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_hashed = replace(uniswap_v2.KIND, proof=Proof(uniswap_v2.salt))
    monkeypatch.setattr(configuration, "kind_named", lambda name: only_hashed)
    with pytest.raises(UsageError, match=r"factories\[0\]\.init_code_hash: expected one, or a lookup"):
        load_chain(one_factory(tmp_path, FACTORY))
    only_looked_up = replace(uniswap_v2.KIND, proof=Proof(lookup="getPair(address,address)"))
    monkeypatch.setattr(configuration, "kind_named", lambda name: only_looked_up)
    with pytest.raises(UsageError, match=r"factories\[0\]\.init_code_hash: expected none"):
        load_chain(one_factory(tmp_path, {**FACTORY, "init_code_hash": "0x" + "ab" * 32}))


OWN_VENUES = """
[[venues]]
code = 1101
name = "polygon.test_swap"

[[venues]]
code = {second}
name = "{name}"

"""


def chain_with_own_venues(folder: Path, second: int, name: str) -> str:
    """A chain file in which `polygon.test_swap` made QuickSwap's pools, and a second venue of its own."""
    source = (CHAINS / "polygon.toml").read_text()
    path = folder / "chain.toml"
    own = OWN_VENUES.format(second=second, name=name)
    path.write_text(
        source.replace('"QUICKSWAP_V2"', '"polygon.test_swap"').replace("[[factories]]", f"{own}[[factories]]", 1)
    )
    return str(path)


def test_chain_file_gives_venues_of_its_own(tmp_path: Path) -> None:
    chain = load_chain(chain_with_own_venues(tmp_path, 1102, "polygon.other_test_swap"))
    assert chain.factories[0].venue_code == 1101
    assert VENUES.name_of(1102) == "polygon.other_test_swap"


@pytest.mark.parametrize(
    ("second", "name"), [(1101, "polygon.third_test_swap"), (1103, "polygon.test_swap"), (1104, "ab")]
)
def test_chain_file_with_a_venue_that_cannot_be_is_refused_by_name(tmp_path: Path, second: int, name: str) -> None:
    with pytest.raises(UsageError, match=rf"chain .*venue ({second}|{name})"):
        load_chain(chain_with_own_venues(tmp_path, second, name))


@pytest.mark.parametrize("name", ["polygon.test_swap", "polygon.another_test_swap"])
def test_venues_of_one_code_are_refused_by_the_second_even_with_one_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"venues\[\d+\]\.code: expected each code once, found 1101 again"):
        load_chain(chain_with_own_venues(tmp_path, 1101, name))


def test_chain_that_is_neither_bundled_nor_a_file_is_refused() -> None:
    with pytest.raises(UsageError, match="polygon, ethereum, base"):
        load_chain("solana")


def test_venues_of_bundled_chains_are_named_without_their_files() -> None:
    declared = {venue.code: venue.name for name in BUNDLED for venue in load_chain(name).venues}
    assert declared == BUNDLED_VENUES
