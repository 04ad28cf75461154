"""Chain configuration, proven on real pools."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from producers.chains.configuration import BUNDLED, load_chain
from producers.kinds.pair_proof import prove_pair
from tlv.codes import Protocol, Source, Venue
from tlv.errors import UsageError
from tlv.venues import VENUES
from tools.recording.bundle import bundled_recording

UNUSED = {1220}
"""Venues whose pools are not in the bundled metadata: tests/producers/kinds/test_asked_kinds.py has them."""
PROVEN = {"polygon": 116, "ethereum": 952}


@pytest.mark.parametrize("name", BUNDLED)
def test_chain_computes_the_address_of_every_proven_pool(name: str) -> None:
    chain = load_chain(name)
    makers = {factory.deployer or factory.address: factory for factory in chain.factories}
    found: Counter[Venue] = Counter()
    with gzip.open(bundled_recording(name) / "pools.jsonl.gz") as lines:
        rows = [row for row in map(json.loads, lines) if row["method"] == "CREATE2_verified"]
    rows = [row for row in rows if row["chainId"] == chain.chain_id and row["factory_or_deployer"] in makers]
    for row in rows:
        maker = makers[row["factory_or_deployer"]]
        tokens = (bytes.fromhex(row["token0"][2:]), bytes.fromhex(row["token1"][2:]))
        fee = row["fee_pips"] if maker.protocol_code is Protocol.UNISWAP_V3 else 0
        assert maker.pool_address(*tokens, fee) == bytes.fromhex(row["pool"][2:])
        assert maker.pool_address(*reversed(tokens), fee) != bytes.fromhex(row["pool"][2:])
        found[maker.venue_code] += 1
    assert found.total() == len(rows) == PROVEN[name]
    assert (
        set(found) == {factory.venue_code for factory in chain.factories if factory.kind.prove is prove_pair} - UNUSED
    )


def test_chains_differ_in_configuration_only() -> None:
    polygon, ethereum = map(load_chain, BUNDLED)
    assert (polygon.chain_id, polygon.source_code) == (137, Source.POLYGON_COLLECTOR)
    assert (ethereum.chain_id, ethereum.source_code) == (1, Source.ETHEREUM_COLLECTOR)
    assert polygon.ring != ethereum.ring
    assert not polygon.bloom_proves(64)
    assert polygon.bloom_proves(65)
    assert ethereum.bloom_proves(64)


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
    source = (Path(__file__).parents[3] / "producers" / "chains" / "polygon.toml").read_text()
    path = tmp_path / "chain.toml"
    path.write_text(re.sub(r"^identity = .*$", "identity = { number = 0 }", source, flags=re.MULTILINE))
    with pytest.raises(UsageError, match="hash"):
        load_chain(str(path))


@pytest.mark.parametrize("explorer", ["polygonscan.com", "ftp://polygonscan.com", 7])
def test_chain_file_whose_explorer_is_no_address_of_a_page_is_refused(tmp_path: Path, explorer: object) -> None:
    source = (Path(__file__).parents[3] / "producers" / "chains" / "polygon.toml").read_text()
    path = tmp_path / "chain.toml"
    path.write_text(re.sub(r"^explorer = .*$", f"explorer = {json.dumps(explorer)}", source, flags=re.MULTILINE))
    with pytest.raises(UsageError, match="explorer: expected an http:// or https:// URL"):
        load_chain(str(path))
    path.write_text(re.sub(r"^explorer = .*$", "", source, flags=re.MULTILINE))
    assert load_chain(str(path)).explorer is None
    assert load_chain("polygon").explorer == "https://polygonscan.com"


def test_chain_file_with_unknown_venue_is_refused(tmp_path: Path) -> None:
    source = Path(__file__).parents[3] / "producers" / "chains" / "polygon.toml"
    path = tmp_path / "chain.toml"
    path.write_text(source.read_text().replace("QUICKSWAP_V2", "NOWHERE"))
    with pytest.raises(UsageError, match="NOWHERE"):
        load_chain(str(path))


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
    source = (Path(__file__).parents[3] / "producers" / "chains" / "polygon.toml").read_text()
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


def test_chain_that_is_neither_bundled_nor_a_file_is_refused() -> None:
    with pytest.raises(UsageError, match="polygon, ethereum"):
        load_chain("solana")
