"""A chain file held against a node: is it this chain, are the factories there, are their pools where CREATE2 says.

Owns the questions and the verdicts, in the order in which a collector would stumble over them.  Each question is
answered within `TIMEOUT_S` or counts as unanswered, and each check asks a bounded number of them.

A factory is proven by one of its pools: one that it created by its own log, sought from the newest block downwards, or
one that the user names.  The pool's address must follow from the init code hash, or be what the factory's lookup
answers.  Without a pool neither can be checked, which is said.  Of contracts that keep their pools inside, and of kinds
with a proof of their own, only the contracts are looked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable
from itertools import chain as chained

import msgspec

from producers.chains.configuration import BUNDLED, ChainConfig, Factory, load_chain
from producers.decode.cold import RefusedLog, decode_log
from producers.kinds.events import EVENT_OF_TOPIC, Role
from producers.kinds.kind import Fee
from producers.kinds.pair_proof import prove_pair
from producers.node.hex import HexError, read_bytes, read_quantity
from producers.node.jsonrpc import LOGS, TEXT
from producers.node.refusals import Meaning
from producers.node.rpc_types import Log
from producers.node.view_calls import DECIMALS, TOKEN0, TOKEN1, calling, read_address, read_word, selector
from tlv.errors import FeedError
from tools.doctor.finding import CheckResult, Verdict
from tools.rig.endpoint import Endpoint, Unanswered, UnexpectedAnswer

TIMEOUT_S = 5.0
MOST_RANGES = 12
"""Questions for creation events, for each factory."""
CODE_HASH_CALLS = tuple(
    map(selector, ("INIT_CODE_PAIR_HASH()", "INIT_CODE_HASH()", "pairCodeHash()", "POOL_INIT_CODE_HASH()"))
)
"""What forks of Uniswap call the hash, where they show it."""
ZERO_ADDRESS = "0x" + "0" * 40
NO_CODE = ("0x", "0x0")


class _HashedBlock(msgspec.Struct):
    hash: str


_BLOCK = msgspec.json.Decoder(_HashedBlock | None)


async def prove(url: str, chain: ChainConfig, pools: tuple[str, ...]) -> AsyncIterator[CheckResult]:
    """Every finding, as soon as it is found."""
    async with Endpoint(url, timeout_s=TIMEOUT_S) as endpoint:
        yield CheckResult("connection", Verdict.OK, f"open to {endpoint.host}")
        number = await _attempted("chain_id", check_chain_id(endpoint, chain))
        yield number
        if number.verdict is Verdict.FAIL:
            return
        yield await _attempted("identity", check_identity(endpoint, chain))
        yield await _attempted("wrapped_native", check_wrapped_native(endpoint, chain))
        if not chain.factories:
            yield CheckResult("factories", Verdict.WARN, "there are none", "without [[factories]] nothing is collected")
        unclaimed = set(pools)
        for place, factory in enumerate(chain.factories):
            name = f"factories[{place}] {factory.venue}"
            yield await _attempted(f"{name} code", check_code(endpoint, f"{name} code", factory))
            yield await _attempted(f"{name} pool", check_pool(endpoint, f"{name} pool", factory, unclaimed))
        for pool in sorted(unclaimed):
            yield CheckResult(
                f"pool {pool}",
                Verdict.FAIL,
                "no factory of the file made it",
                "is its factory, deployer, init code hash right?",
            )


async def _attempted(name: str, check: Awaitable[CheckResult]) -> CheckResult:
    try:
        return await check
    except FeedError as error:
        return CheckResult(name, Verdict.FAIL, str(error), "try again, or another node")


async def ask_chain_id(endpoint: Endpoint) -> int:
    """Which chain the node serves.

    Raises:
        Unanswered, UnexpectedAnswer: it does not say.
    """
    answer: str = await endpoint.ask_for(TEXT, "eth_chainId")
    try:
        return read_quantity(answer)
    except HexError as error:
        raise UnexpectedAnswer(f"eth_chainId: {error}") from None


async def ask_hash(endpoint: Endpoint, number: int) -> str | None:
    """The hash of a block; None if the node does not have it.

    Raises:
        Unanswered, UnexpectedAnswer: it does not say.
    """
    block = await endpoint.ask_for(_BLOCK, "eth_getBlockByNumber", hex(number), False)
    if block is None:
        return None
    try:
        return "0x" + read_bytes(block.hash, 32).hex()
    except HexError as error:
        raise UnexpectedAnswer(f"eth_getBlockByNumber: {error}") from None


async def check_chain_id(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """Nothing that another chain's node says is about this one."""
    found = await ask_chain_id(endpoint)
    if found == chain.chain_id:
        return CheckResult("chain_id", Verdict.OK, str(found))
    return CheckResult(
        "chain_id", Verdict.FAIL, f"expected {chain.chain_id}, found {found}", f"another node, or chain_id = {found}"
    )


async def check_identity(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """The early block that tells chains of one id apart."""
    number = chain.identity.number if chain.identity is not None else 0
    block_hash = await ask_hash(endpoint, number)
    if block_hash is None:
        return CheckResult(
            "identity", Verdict.WARN, f"this node has no block {number}", "name an early block that it has"
        )
    line = f'identity = {{ number = {number}, hash = "{block_hash}" }}'
    if chain.identity is None:
        return CheckResult("identity", Verdict.WARN, f"block {number} is {block_hash}", f"the file names none: {line}")
    if block_hash == chain.identity.hash:
        return CheckResult("identity", Verdict.OK, f"block {number} is {block_hash}")
    found = f"expected block {number} to be {chain.identity.hash}, found {block_hash}"
    return CheckResult("identity", Verdict.FAIL, found, f"another node, or {line}")


async def check_wrapped_native(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """The token that wraps the coin says 18 decimals on every chain."""
    token = chain.wrapped_native
    if token == ZERO_ADDRESS:
        return CheckResult("wrapped_native", Verdict.WARN, "the file names none", "`doctor` cannot try a contract call")
    if await _code_size(endpoint, token) == 0:
        return CheckResult("wrapped_native", Verdict.FAIL, f"no contract at {token}", "is the address right?")
    decimals = read_word(await endpoint.ask_for(TEXT, "eth_call", {"to": token, "data": DECIMALS}, "latest"))
    if decimals == 18:
        return CheckResult("wrapped_native", Verdict.OK, f"{token} has 18 decimals")
    return CheckResult(
        "wrapped_native", Verdict.WARN, f"{token} says {decimals} decimals", "expected 18: is it this token?"
    )


async def check_code(endpoint: Endpoint, name: str, factory: Factory) -> CheckResult:
    """A factory, and the contracts that are named beside it, are contracts."""
    size = await _code_size(endpoint, factory.address)
    if size == 0:
        return CheckResult(name, Verdict.FAIL, f"no contract at {factory.address}", "is the address of this chain?")
    if factory.deployer is not None and await _code_size(endpoint, factory.deployer) == 0:
        found = f"no contract at the deployer {factory.deployer}"
        return CheckResult(name, Verdict.FAIL, found, "leave it out where the factory itself calls CREATE2")
    if factory.positions is not None and await _code_size(endpoint, factory.positions) == 0:
        found = f"no contract at positions {factory.positions}"
        return CheckResult(name, Verdict.FAIL, found, "is the address of this chain?")
    if factory.kind.fee is Fee.FACTORY and factory.fee_pips == 0 and factory.fee_call is None:
        return CheckResult(
            name, Verdict.WARN, f"{size} bytes", "fee_pips is 0: pools of this kind do not say their fee"
        )
    return CheckResult(name, Verdict.OK, f"{size} bytes")


async def check_pool(endpoint: Endpoint, name: str, factory: Factory, unclaimed: set[str]) -> CheckResult:
    """One pool stands where CREATE2 puts it, or where the factory's lookup says."""
    if factory.kind.prove is not prove_pair:
        return CheckResult(name, Verdict.OK, f"{factory.protocol} pools are proven one by one, as their logs come")
    wrong = ""
    for pool in sorted(unclaimed):
        if await _is_made_by(endpoint, factory, pool):
            unclaimed.discard(pool)
            return CheckResult(name, Verdict.OK, f"{pool} is proven")
    created, looked = await _created(endpoint, factory)
    for pool in created:
        if await _is_made_by(endpoint, factory, pool):
            unclaimed.discard(pool)
            return CheckResult(name, Verdict.OK, f"{pool} is proven, one of {len(created)} found in {looked}")
        wrong = wrong or pool
    if not wrong:
        return CheckResult(name, Verdict.WARN, f"no creation event in {looked}", "name a pool of it: --pool 0x...")
    if factory.init_code_hash is None:
        found = f"{wrong} was made by it, and {factory.lookup_function} of it answers something else"
        return CheckResult(name, Verdict.FAIL, found, "is protocol right, or a lookup of its own missing?")
    right = await _fitting_code_hash(endpoint, factory, wrong)
    advice = f'init_code_hash = "{right}"' if right else "is init_code_hash right, or a deployer missing?"
    found = f"{wrong} was made by it, and does not follow from deployer and init_code_hash"
    return CheckResult(name, Verdict.FAIL, found, advice)


async def _code_size(endpoint: Endpoint, address: str) -> int:
    code: str = await endpoint.ask_for(TEXT, "eth_getCode", address, "latest")
    return 0 if code in NO_CODE else (len(code) - 2) // 2


async def _call(endpoint: Endpoint, to: str, data: str) -> str | None:
    """An answer, or None where the contract refuses."""
    try:
        answer: str = await endpoint.ask_for(TEXT, "eth_call", {"to": to, "data": data}, "latest")
    except Unanswered as error:
        if error.failure.meaning is Meaning.REVERT:
            return None
        raise
    return answer


async def _identity(endpoint: Endpoint, factory: Factory, pool: str) -> tuple[bytes, bytes, list[int]] | None:
    """What identifies a pool at its factory, by its own words."""
    token0 = read_address(await _call(endpoint, pool, TOKEN0))
    token1 = read_address(await _call(endpoint, pool, TOKEN1))
    words = [read_word(await _call(endpoint, pool, selector(name))) for name in factory.kind.proof.functions]
    known = [word for word in words if word is not None]
    if token0 is None or token1 is None or len(known) < len(words) or max(known, default=0) >= 1 << 24:
        return None
    return token0, token1, known


async def _is_made_by(endpoint: Endpoint, factory: Factory, pool: str) -> bool:
    said = await _identity(endpoint, factory, pool)
    if said is None:
        return False
    token0, token1, words = said
    if factory.init_code_hash is not None:
        return f"0x{factory.pool_address(token0, token1, *words).hex()}" == pool
    answer = await _call(endpoint, factory.address, calling(factory.lookup_function, token0, token1, *words))
    return read_address(answer) == bytes.fromhex(pool[2:])


async def _created(endpoint: Endpoint, factory: Factory) -> tuple[list[str], str]:
    """Pools that the factory's own logs name, newest first, and where they were sought."""
    topics = [
        event.topic0
        for event in EVENT_OF_TOPIC.values()
        if event.role is Role.FACTORY and factory.protocol_code in event.protocols
    ]
    head = read_quantity(await endpoint.ask_for(TEXT, "eth_blockNumber"))
    top, span, found = head, head + 1, list[str]()
    for _ in range(MOST_RANGES):
        first = max(top - span + 1, 0)
        span_of = {"fromBlock": hex(first), "toBlock": hex(top), "address": factory.address, "topics": [topics]}
        try:
            logs: list[Log] = await endpoint.ask_for(LOGS, "eth_getLogs", span_of)
        except (Unanswered, UnexpectedAnswer):
            if endpoint.lost or span == 1:
                raise
            span = min(span // 2 + 1, 10_000) if span > 2 else 1
            continue
        found += _named(reversed(logs))
        top = first - 1
        if found or top < 0:
            break
    return found[:3], f"blocks {top + 1} to {head}"


def _named(logs: Iterable[Log]) -> list[str]:
    pools = []
    for log in logs:
        try:
            pools.append("0x" + decode_log(log).pool[:20].hex())
        except RefusedLog:
            continue
    return pools


async def _fitting_code_hash(endpoint: Endpoint, factory: Factory, pool: str) -> str | None:
    """The init code hash from which `pool` follows: what the factory says of it, and those of known exchanges."""
    said = await _identity(endpoint, factory, pool)
    if said is None:
        return None
    claimed = [await _call(endpoint, factory.address, call) for call in CODE_HASH_CALLS]
    known = (other.init_code_hash for name in BUNDLED for other in load_chain(name).factories)
    sayings = (word for word in claimed if word and len(word) == 66)
    for code_hash in dict.fromkeys(chained(sayings, filter(None, known))):
        tried = msgspec.structs.replace(factory, init_code_hash=code_hash)
        if f"0x{tried.pool_address(said[0], said[1], *said[2]).hex()}" == pool:
            return code_hash
    return None
