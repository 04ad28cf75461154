"""What a collector must know of a market: its chain file."""

from __future__ import annotations

from tools.market.place import MarketPlace
from tools.market.plan import NORTH, SOUTH, V2_FEE, V3
from tools.rig.evm.world import bytecode_hash

CHAIN_ID = 31337
FIRST_VENUE = 1000


def market_chain_file(place: MarketPlace, url: str, ring: str) -> str:
    """The text of it, for `alphapulse collect --chain FILE`."""
    genesis = place.rpc("eth_getBlockByNumber", "0x0", False)["hash"]
    lines = [
        'name = "local"',
        f"chain_id = {CHAIN_ID}",
        f'identity = {{ number = 0, hash = "{genesis}" }}',
        'source = "POLYGON_COLLECTOR"',
        f'ring = "{ring}"',
        f'wrapped_native = "{place.coin}"',
        "finality_blocks = 64",
        "block_time_s = 1",
        f'endpoints = ["{url}"]',
    ]
    for code, venue in enumerate((NORTH, SOUTH, V3), FIRST_VENUE):
        lines += ["", "[[venues]]", f"code = {code}", f'name = "{venue}"']
    for venue in (NORTH, SOUTH, V3):
        protocol, contract = ("UNISWAP_V3", "V3Pool") if venue == V3 else ("UNISWAP_V2", "V2Pair")
        lines += [
            *("", "[[factories]]", f'venue = "{venue}"', f'protocol = "{protocol}"'),
            *(f'address = "{place.factories[venue]}"', f'init_code_hash = "{bytecode_hash(contract)}"'),
        ]
        lines += [f"fee_pips = {V2_FEE}"] if venue != V3 else []
    return "\n".join([*lines, ""])
