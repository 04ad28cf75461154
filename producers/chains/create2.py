"""The address that a factory's pool must have (EIP-1014), so that a pool is proven without trusting anybody.

address = last 20 bytes of keccak256(0xff | deployer | salt | keccak256(init code)), and the salt is the hash of what
identifies a pool at its factory, which its kind declares (`producers.kinds.kind.Proof`).  Who deploys and which init
code: the chain's configuration.  15 us a hash: once per pool, never per event.
"""

from __future__ import annotations

from eth_hash.auto import keccak


def create2_address(deployer: bytes, salt: bytes, init_code_hash: bytes) -> bytes:
    """The 20 bytes of the contract that `deployer` creates with this salt and init code."""
    return keccak(b"\xff" + deployer + salt + init_code_hash)[12:]
