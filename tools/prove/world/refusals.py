"""Refusals in the words of real providers, by the kind of fault that they stand for.

Sources: go-ethereum rpc/errors.go and eth/filters; Alchemy, Infura, QuickNode, dRPC, Ankr, publicnode, proxyd
(Optimism, Base), Nethermind, Besu, reth, Erigon/Bor, as quoted in public issues.
"""

from __future__ import annotations

from typing import NamedTuple


class Refused(NamedTuple):
    """The `error` member of an answer."""

    code: int
    message: str


WORDINGS: dict[str, tuple[Refused, ...]] = {
    "rate": (
        Refused(429, "Your app has exceeded its compute units per second capacity."),
        Refused(-32005, "project ID request rate exceeded"),
        Refused(-32007, "50/second request limit reached - reduce calls per second or upgrade your account"),
        Refused(-32012, "credits limited to 6000/sec"),
        Refused(15, "Too many request, try again later"),
        Refused(-32090, "Too many requests, reason: call rate limit exhausted, retry in 1s"),
        Refused(-32016, "over rate limit"),
        Refused(-32029, "Too Many Requests"),
    ),
    "range": (
        Refused(-32005, "query returned more than 10000 results"),
        Refused(-32005, "limit exceeded"),
        Refused(-32602, "eth_getLogs is limited to a 5 block range"),
        Refused(35, "ranges over 5 blocks are not supported on freetier"),
        Refused(-32600, "Log response size exceeded. Block range should be at most 5 blocks."),
        Refused(-32000, "exceed maximum block range: 5"),
        Refused(-32005, "Too many logs requested. Max logs per response is 20000."),
    ),
    "size": (
        Refused(-32008, "Response is too big"),
        Refused(-32000, "response size exceeded the maximum of 10485760 bytes"),
    ),
    "policy": (
        Refused(-32701, "Please specify an address in your request or, to remove restrictions, order a dedicated node"),
        Refused(-32601, "eth_getLogs without an address is not available on this plan"),
    ),
    "transient": (
        Refused(-32000, "header not found"),
        Refused(-32603, "Internal error"),
        Refused(-32011, "no backend is currently healthy to serve traffic"),
        Refused(19, "Temporary internal error. Please retry, trace-id: 7f3a"),
        Refused(30, "Request timeout on the free tier, please upgrade your tier to the paid one"),
        Refused(-32603, "service temporarily unavailable"),
        Refused(-32000, "context deadline exceeded"),
        Refused(-32602, "block not found"),
        Refused(-32002, "request timed out"),
        Refused(-32603, "request handling failed: connection refused"),
    ),
    "pruned": (
        Refused(-32000, "missing trie node 41f0 (path ) state 0x41f0 is not available"),
        Refused(-32000, "historical state 41f0 is not available"),
        Refused(4444, "pruned history unavailable"),
    ),
    "unsupported": (
        Refused(-32602, "invalid argument 1: hex string expected"),
        Refused(-32602, "Invalid params: invalid type: map, expected a block number or tag"),
        Refused(-32000, "The method with object parameters is not implemented"),
        Refused(-32602, "invalid argument 0: json: unknown field blockHash"),
    ),
    "unknown_block": (
        Refused(-32000, "unknown block"),
        Refused(-32000, "header not found"),
        Refused(-32001, "block not found"),
        Refused(-39001, "Unknown block"),
        Refused(-32000, "block not found with hash"),
    ),
}
REVERTED = Refused(3, "execution reverted")
NO_METHOD = Refused(-32601, "the method does not exist/is not available")
BAD_PARAMS = Refused(-32602, "invalid argument 1: hex string expected")
