"""The address that a factory's pool must have (EIP-1014), so that a pool is proven without trusting anybody.

address = last 20 bytes of keccak256(0xff | deployer | salt | keccak256(init code)), and the salt is the hash of what
identifies a pool at its factory: the tokens, and for Uniswap V3 the fee.  Who deploys and which init code: the chain's
configuration.  15 us a hash: once per pool, never per event.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from tlv.codes import Protocol


def pool_salt(protocol: Protocol, token0: bytes, token1: bytes, fee_pips: int) -> bytes:
    """What the factory passes to CREATE2.  V2 packs the tokens; V3 and Algebra ABI-encode them, V3 with the fee."""
    if protocol is Protocol.UNISWAP_V2:
        return keccak(token0 + token1)
    words = token0.rjust(32, b"\0") + token1.rjust(32, b"\0")
    if protocol is Protocol.UNISWAP_V3:
        words += fee_pips.to_bytes(32, "big")
    return keccak(words)


def create2_address(deployer: bytes, salt: bytes, init_code_hash: bytes) -> bytes:
    """The 20 bytes of the contract that `deployer` creates with this salt and init code."""
    return keccak(b"\xff" + deployer + salt + init_code_hash)[12:]
