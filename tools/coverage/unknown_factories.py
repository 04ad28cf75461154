"""Factories that no chain file names and whose pools trade: the lines that would configure them.

Owns those lines.  Whether such a factory is what its pools say nobody has proven here: each pool named it, and it has
to be looked up before its lines go into a chain file.  Once they stand there its pools are proven by its own lookup.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from producers.chains.configuration import ChainConfig
from producers.kinds.kind import Fee
from producers.kinds.registry import kind_of
from tlv.codes import NotPublished, Protocol
from tlv.venues import FIRST_FREE_CODE, VENUES
from tools.coverage.account import NO_ADDRESS, SwapAccount

ALIKE = (Protocol.UNISWAP_V2, Protocol.UNISWAP_V3)
"""Kinds whose forks differ in nothing but their factory."""
USUAL_V2_FEE = 3000
"""Of most forks of Uniswap V2, in hundredths of a basis point."""


def unknown_factories(account: SwapAccount, chain: ChainConfig | None) -> list[dict[str, Any]]:
    """Those of the swaps that are of no configured factory, the busiest first."""
    swaps: dict[tuple[bytes, int], int] = {}
    emitters: dict[tuple[bytes, int], set[bytes]] = {}
    for (emitter, protocol), found in account.emitters.items():
        count = found.swaps[NotPublished.UNSUPPORTED]
        if count and found.factory != NO_ADDRESS and protocol in ALIKE:
            key = (found.factory, protocol)
            swaps[key] = swaps.get(key, 0) + count
            emitters.setdefault(key, set()).add(emitter)
    codes = free_codes(chain)
    name = chain.name if chain is not None else "chain"
    return [
        {
            "factory": f"0x{factory.hex()}",
            "kind": Protocol(protocol).name,
            "swaps": count,
            "emitters": len(emitters[factory, protocol]),
            "toml": lines_of(factory, protocol, next(codes), name),
        }
        for (factory, protocol), count in sorted(swaps.items(), key=lambda one: (-one[1], one[0]))
    ]


def free_codes(chain: ChainConfig | None) -> Iterator[int]:
    """Venue codes that neither the chain file nor this process uses."""
    used = {venue.code for venue in chain.venues} if chain is not None else set()
    code = FIRST_FREE_CODE
    while True:
        if code not in used and VENUES.name_of(code) is None:
            yield code
        code += 1


def lines_of(factory: bytes, protocol: int, code: int, chain: str) -> str:
    """The lines of a chain file for one factory."""
    kind = kind_of(protocol)
    assert kind is not None, "one of ALIKE"
    venue = f"{chain}.f{factory.hex()[:8]}"
    lines = [
        "[[venues]]",
        f"code = {code}",
        f'name = "{venue}"',
        "",
        "# Its pools name this factory; whether it is one, and of this kind, must be checked.",
        "[[factories]]",
        f'venue = "{venue}"',
        f'protocol = "{kind.name}"',
        f'address = "0x{factory.hex()}"',
    ]
    if kind.fee is Fee.FACTORY:
        lines.append(f"fee_pips = {USUAL_V2_FEE}  # must be checked: what its pools really take")
    return "\n".join([*lines, ""])
