"""Published contracts in an EVM, deployed and traded, and what they log and answer: each kind's own bytecode as its
oracle.

Owns one EVM a deployment.  It must never know how the collector decodes or proves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pyrevm
from eth_abi.abi import encode
from eth_hash.auto import keccak

from producers.node.call_program import NOTHING, REVERTED, SILENT, WORD, Question
from producers.node.calls_at import Answer
from producers.node.rpc_types import Log
from tools.evm import pancake
from tools.rig.evm.world import MAX_UINT256, bytecode, call_data

ACCOUNT = "0x1000000000000000000000000000000000000001"
NOBODY = "0x" + "00" * 20
GAS = 1_000_000_000
PLENTY = 1 << 100
UNIT = 10**18
MIN_PRICE, MAX_PRICE = 4295128740, 1461446703485210103287273052203988822378723970341
"""The last prices that a swap may be limited to (TickMath)."""
STABLE = (
    "(address,address,string,string,address[],address[],uint256[],bool[],"
    "uint256,uint256,uint256,uint256,address,string)"
)
"""ComposableStablePool.NewPoolParams."""
EVEN = 1 << 96
"""The square root of the price one."""


class RealContracts:
    """An EVM, and what its last call logged."""

    def __init__(self) -> None:
        block = pyrevm.BlockEnv(number=1, timestamp=1_700_000_000, gas_limit=GAS)
        configuration = pyrevm.CfgEnv(limit_contract_code_size=1 << 16)
        self._evm = pyrevm.EVM(env=pyrevm.Env(cfg=configuration, block=block))
        self._evm.insert_account_info(ACCOUNT, pyrevm.AccountInfo(balance=1 << 120))

    def create(self, name: str, types: tuple[str, ...] = (), values: tuple[Any, ...] = ()) -> str:
        """Deploy a published contract; its address."""
        return self._evm.deploy(ACCOUNT, bytecode(name) + encode(types, values), gas=GAS).lower()

    def put(self, address: str, code: bytes) -> None:
        """Let code stand at an address."""
        self._evm.insert_account_info(address, pyrevm.AccountInfo(code=code))

    def next_address(self, after: int = 0) -> str:
        """Where the account's next contract will stand, or one that many later."""
        nonce = self._evm.basic(ACCOUNT).nonce + after
        assert 0 < nonce < 128
        body = b"\x94" + bytes.fromhex(ACCOUNT[2:]) + bytes([nonce])
        return "0x" + keccak(bytes([0xC0 + len(body)]) + body)[12:].hex()

    def call(self, to: str, signature: str, *values: Any) -> bytes:
        """Call as the account."""
        return self.send(to, call_data(signature, *values))

    def send(self, to: str, data: str) -> bytes:
        """Call with this data as the account."""
        return bytes(self._evm.message_call(ACCOUNT, to, calldata=bytes.fromhex(data[2:]), gas=GAS))

    def tokens(self, count: int) -> list[str]:
        """So many tokens in the order of their addresses, of which the account has plenty."""
        created = [
            self.create("Token", ("string", "string", "uint256", "uint256"), ("t", "T", 18, 1)) for _ in range(count)
        ]
        for token in created:
            self.call(token, "setBalance(address,uint256)", ACCOUNT, PLENTY)
        return sorted(created)

    def approve(self, tokens: list[str], spender: str) -> None:
        """Let a contract take all of the account's."""
        for token in tokens:
            self.call(token, "approve(address,uint256)", spender, MAX_UINT256)

    def logs(self) -> list[Log]:
        """What the last call logged."""
        return [
            Log(
                log.address.lower(),
                tuple(f"0x{bytes(topic).hex()}" for topic in log.data[0]),
                f"0x{bytes(log.data[1]).hex()}",
                block_number="0x1",
                transaction_hash="0x" + "aa" * 32,
                transaction_index="0x0",
                block_hash="0x" + "bb" * 32,
                log_index=hex(index),
            )
            for index, log in enumerate(self._evm.result.logs)
        ]

    def answer(self, question: Question) -> Answer:
        """What a node that runs programs says: at most so many words, and a word more if there were more."""
        if not self._evm.get_code(question.to):
            return NOTHING
        try:
            result = self.send(question.to, question.data)
        except RuntimeError:
            return REVERTED
        kept = result[: WORD * question.words]
        return SILENT if not result else f"0x{(kept + bytes(WORD) * (len(kept) < len(result))).hex()}"


class Deployed(NamedTuple):
    """A kind's contracts, and what they logged: creation and trades."""

    contracts: RealContracts
    factory: str
    deployer: str
    tokens: list[str]
    pools: list[str]
    logs: list[Log]


def algebra_integral() -> Deployed:
    """Factory and deployer of integral-core, a pool, a custom pool of the same tokens, and swaps with and without a
    plugin that overrides the fee."""
    contracts = RealContracts()
    token0, token1 = tokens = contracts.tokens(2)
    deployer = contracts.create("IntegralDeployer", ("address",), (contracts.next_address(1),))
    factory = contracts.create("IntegralFactory", ("address",), (deployer,))
    contracts.call(factory, "createPool(address,address,bytes)", token1, token0, b"")
    logs = contracts.logs()
    custom = contracts.create("IntegralCustomCreator")
    role = contracts.call(factory, "CUSTOM_POOL_DEPLOYER()")
    contracts.call(factory, "grantRole(bytes32,address)", role, custom)
    contracts.call(custom, "createCustomPool(address,address,address,bytes)", factory, token0, token1, b"")
    logs += contracts.logs()
    lookups = (
        ("poolByPair(address,address)", token0, token1),
        ("customPoolByPair(address,address,address)", custom, token0, token1),
    )
    pools = [f"0x{contracts.call(factory, *lookup)[12:].hex()}" for lookup in lookups]
    callee = contracts.create("IntegralCallee")
    contracts.approve(tokens, callee)
    plugin = contracts.create("IntegralPlugin", ("address",), (pools[0],))
    for pool in pools:
        contracts.call(pool, "initialize(uint160)", EVEN)
        logs += contracts.logs()
        contracts.call(callee, "mint(address,address,int24,int24,uint128)", pool, ACCOUNT, -6000, 6000, 100 * UNIT)
        logs += contracts.logs()
        contracts.call(callee, "swapExact0For1(address,uint256,address,uint160)", pool, UNIT, ACCOUNT, MIN_PRICE)
        logs += contracts.logs()
    contracts.call(pools[0], "setPlugin(address)", plugin)
    contracts.call(pools[0], "setPluginConfig(uint8)", 255)
    contracts.call(plugin, "setPluginFees(uint24,uint24)", 4000, 6000)
    contracts.call(callee, "swapExact1For0(address,uint256,address,uint160)", pools[0], UNIT, ACCOUNT, MAX_PRICE)
    logs += contracts.logs()
    return Deployed(contracts, factory, deployer, tokens, [*pools, custom], logs)


def balancer_v2() -> Deployed:
    """The Vault with a weighted and a composable stable pool of three tokens, the latter with its own share besides;
    joins, and swaps of which one is into the share.  `pools` are the ids."""
    contracts = RealContracts()
    tokens = contracts.tokens(3)
    vault = contracts.create("BalancerVault", ("address", "address", "uint256", "uint256"), (ACCOUNT, tokens[0], 0, 0))
    contracts.approve(tokens, vault)
    fees = contracts.create("BalancerFees", ("address", "uint256", "uint256"), (vault, UNIT // 2, UNIT // 2))
    none = [NOBODY] * 3
    weighted = contracts.create(
        "BalancerWeighted",
        (
            "(string,string,address[],uint256[],address[],address[],uint256)",
            *("address",) * 2,
            *("uint256",) * 2,
            "address",
            "string",
        ),
        (
            ("w", "W", tokens, [UNIT // 2, UNIT * 3 // 10, UNIT // 5], none, none, UNIT // 300),
            vault,
            fees,
            0,
            0,
            ACCOUNT,
            "1",
        ),
    )
    stable = contracts.create(
        "BalancerStable",
        (STABLE,),
        ((vault, fees, "s", "S", tokens, none, [0] * 3, [False] * 3, 200, UNIT // 1000, 0, 0, ACCOUNT, "1"),),
    )
    logs: list[Log] = []
    ids = [contracts.call(pool, "getPoolId()") for pool in (weighted, stable)]
    coins = [tokens, sorted([*tokens, stable])]
    for pool_id, listed in zip(ids, coins, strict=True):
        amounts = [0 if coin == stable else 1000 * UNIT for coin in listed]
        first = encode(("uint256", "uint256[]"), (0, amounts))
        request = "(address[],uint256[],bytes,bool)"
        join = (pool_id, ACCOUNT, ACCOUNT, (listed, [1 << 120] * len(listed), first, False))
        contracts.send(vault, _calling("joinPool", ("bytes32", "address", "address", request), join))
        logs += contracts.logs()
    for pool_id, coin_in, coin_out in (
        (ids[0], tokens[2], tokens[0]),
        (ids[0], tokens[0], tokens[1]),
        (ids[1], tokens[1], stable),
    ):
        types = ("(bytes32,uint8,address,address,uint256,bytes)", "(address,bool,address,bool)", "uint256", "uint256")
        swap = (pool_id, 0, coin_in, coin_out, UNIT, b""), (ACCOUNT, False, ACCOUNT, False), 0, 1 << 40
        contracts.send(vault, _calling("swap", types, swap))
        logs += contracts.logs()
    return Deployed(contracts, vault, vault, tokens, [pool_id.hex() for pool_id in ids], logs)


def pancakeswap_v3() -> Deployed:
    """A pool as its factory's deployer makes it."""
    contracts = RealContracts()
    tokens = contracts.tokens(2)
    deployer = "0x" + "d0" * 20
    contracts.put(deployer, pancake.deployer_code(ACCOUNT, tokens, 2500, 50))
    pool = f"0x{contracts.send(deployer, '0x')[12:].hex()}"
    contracts.call(pool, "initialize(uint160)", EVEN)
    return Deployed(contracts, ACCOUNT, deployer, tokens, [pool], contracts.logs())


def _calling(name: str, types: tuple[str, ...], values: tuple[Any, ...]) -> str:
    return "0x" + (keccak(f"{name}({','.join(types)})".encode())[:4] + encode(types, values)).hex()
