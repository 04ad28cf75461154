"""PancakeSwap V3's pool as it is published, and what npm lacks to make and trade it: a deployer and a router.

The deployer stands for PancakeV3PoolDeployer: it answers `parameters()` and creates the pool by CREATE2, so that it has
the address which its factory's would have.  The router is Uniswap's SwapRouter, told another pool hash and callback.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_abi.abi import encode
from eth_hash.auto import keccak

from producers.node.assembler import assemble
from tools.rig.evm.world import bytecode

PUSH4, EQ_TO = 0x63, 0x14
"""A selector that is compared, in the dispatcher of solc 0.7.6: PUSH4 selector EQ PUSH2 place JUMPI."""
PLACE_BYTES = 4
UNISWAP_CALLBACK = keccak(b"uniswapV3SwapCallback(int256,int256,bytes)")[:4]
CALLBACK = keccak(b"pancakeV3SwapCallback(int256,int256,bytes)")[:4]
REFUND = keccak(b"refundETH()")[:4]


def deployer_code(factory: str, tokens: Sequence[str], fee_pips: int, spacing: int) -> bytes:
    """Runtime code: called with a selector it answers PancakeV3PoolDeployer.parameters(), with nothing it makes the
    pool."""
    salt = keccak(encode(("address", "address", "uint24"), (*tokens, fee_pips)))
    program = f"""
        4 CALLDATASIZE EQ parameters JUMPI
        end CODESIZE SUB end 0 CODECOPY                  ; the pool's creation code, which stands behind
        {salt.hex()} end CODESIZE SUB 0 0 CREATE2 0 MSTORE  20 0 RETURN
      parameters:
        {factory[2:]} 0 MSTORE  {tokens[0][2:]} 20 MSTORE  {tokens[1][2:]} 40 MSTORE
        {fee_pips:x} 60 MSTORE  {spacing:x} 80 MSTORE  a0 0 RETURN
      end:
    """
    return assemble(program) + bytecode("PancakePool")


def router_code() -> bytes:
    """Creation code of a SwapRouter whose pools are PancakeSwap's; its first argument is their deployer.

    Selectors are sought by halves, so the callback's takes the place of one in its half, which is not used.
    """
    code = bytecode("V3Router").replace(keccak(bytecode("V3Pool")), keccak(bytecode("PancakePool")))
    taken, called = (code.index(bytes((PUSH4, *selector, EQ_TO))) for selector in (REFUND, UNISWAP_CALLBACK))
    compared = 1 + len(CALLBACK)
    jump = code[called + compared : called + compared + 1 + PLACE_BYTES]
    return code[:taken] + bytes((PUSH4,)) + CALLBACK + jump + code[taken + compared + len(jump) :]
