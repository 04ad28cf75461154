"""The keys of a chain file.

Owns what each key may hold and what it means, in the words that `alphapulse chain new` writes above it and
`alphapulse chain check` quotes.  What the values are used for: `producers.chains.configuration`, which has a field for
each key.
"""

from __future__ import annotations

from producers.chains.keys import (
    Key,
    Keys,
    TableKey,
    address,
    code_hash,
    contract,
    hash32,
    list_of,
    matching,
    one_of,
    seconds,
    text,
    whole,
)
from tlv.codes import Source

COLLECTORS = [source.name for source in Source if source.name.endswith("_COLLECTOR")]
LOOKUP = r"[A-Za-z_]\w*\(address,address(,(address|bool|bytes32|u?int(8|16|24|32|64|128|160|256)))*\)"
FEE_CALL = r"[A-Za-z_]\w*\(((address|bool)(,(address|bool))*)?\)"
RING = r"[a-z][a-z0-9_.]{0,62}"

IDENTITY = (
    Key("hash", hash32, "hash of that block", required=True),
    Key("number", whole(0), "a block that every node has: 0, or a later one where nodes have pruned it"),
)
VENUE = (
    Key(
        "code",
        whole(1000, (1 << 16) - 1),
        "a number of your own, 1000 to 65535; those of bundled chains begin at 60000",
        required=True,
    ),
    Key("name", text, "chain, dot, exchange: local.myswap", required=True),
)
FACTORY = (
    Key("venue", text, "a name of [[venues]], or one that the project has", required=True),
    Key("protocol", text, "which pool kind its pools are", required=True),
    Key("address", contract, "the contract that makes the pools and emits their creation", required=True),
    Key(
        "init_code_hash",
        code_hash,
        "keccak256 of the pools' creation code: a pool is proven by the address that follows from it (CREATE2); without"
        " one a pool is proven by the factory's lookup at the block",
    ),
    Key(
        "lookup",
        matching(LOOKUP, "a function of two addresses and single words, like getPair(address,address)"),
        "the factory's view function from two tokens to their pool, where it is not its protocol's own",
    ),
    Key(
        "fee_pips",
        whole(0, 999_999),
        "what every pool charges, in hundredths of a basis point (3000 = 0.3 %); left out where each pool has its own",
    ),
    Key(
        "fee_call",
        matching(
            FEE_CALL, "a view function of a pool's address, of whether it is stable, or both, like getFee(address,bool)"
        ),
        "the factory's view function that says what a pool charges, where that is neither fixed nor the pool's own",
    ),
    Key("deployer", contract, "the contract that calls CREATE2, where that is not the factory itself"),
    Key(
        "custom_deployers",
        list_of(contract),
        "contracts whose pools count besides the factory's own, one for each pair and deployer (Algebra Integral)",
    ),
    Key("positions", contract, "a contract that knows the keys of a hub's pools (V4: PositionManager)"),
)
CHAIN: Keys = (
    Key(
        "name",
        matching(r"[a-z][a-z0-9_]{0,31}", "a-z, 0-9 and _, beginning with a letter"),
        "what the chain is called in logs",
        required=True,
    ),
    Key("chain_id", whole(1), "what the node answers to eth_chainId", required=True),
    TableKey(
        "identity",
        IDENTITY,
        "A block that tells this chain from another of the same id: ids are shared by forks and development chains."
        " Without it the collector learns block 0 from the node at first contact",
    ),
    Key(
        "source",
        one_of(lambda: COLLECTORS),
        f"what the collector's messages are marked with: {' or '.join(COLLECTORS)}",
        required=True,
    ),
    Key(
        "ring",
        matching(RING, "1 to 63 of a-z, 0-9, dot and underscore, beginning with a letter"),
        "where its collector publishes unless told otherwise with --ring",
        required=True,
    ),
    Key("wrapped_native", address, "the token that wraps the chain's own coin", required=True),
    Key(
        "native_symbol",
        matching(r"[!-~]{1,20}", "1 to 20 printable ASCII characters"),
        "what the chain's own coin is called, where pools trade it as it is (Uniswap V4)",
    ),
    Key(
        "finality_blocks",
        whole(1, 1 << 20),
        "headers and published events are kept this deep: a reorg that reaches lower is told, not undone",
        required=True,
    ),
    Key(
        "block_time_s",
        seconds,
        "the usual seconds between two blocks; 0 = they come when there is something to say, as on a development node",
    ),
    Key(
        "unbloomed_every",
        whole(0),
        "blocks divisible by this may carry logs that are missing from logsBloom (Polygon: 16); 0 = none do",
    ),
    Key("endpoints", list_of(matching(r"wss?://\S+", "a ws:// or wss:// URL")), "nodes to use unless --url is given"),
    Key(
        "explorer",
        matching(r"https?://\S+", "an http:// or https:// URL"),
        "a block explorer as of EIP-3091, whose pages of blocks are below /block/; what shows a block links to it",
    ),
    Key(
        "kinds",
        list_of(text),
        "files of pool kinds that the project does not have, relative to this file; they are code and run as you",
    ),
    TableKey("venues", VENUE, "Exchanges that the project does not know, by code and name", several=True),
    TableKey("factories", FACTORY, "The contracts whose pools are collected", several=True),
)
