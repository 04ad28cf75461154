"""What trades in a world beside pools that CREATE2 proves: which factories there are, their pools, and what they say.

Owns the markets of a seed (`tools.prove.world.faults.MARKETS`).  Without them a world has the factories of `PLAIN`.

    lookups   some factories have no init code hash: they are asked for their pools
    hubs      one contract keeps all pools, and names them by an id: Uniswap V4, Balancer V2
    coins     pools of three coins, of which a swap names two: Curve
    liars     a factory whose answers change, and pools of which it says that another is in their place, or nonsense
"""

from __future__ import annotations

from functools import partial
from random import Random

from eth_hash.auto import keccak
from msgspec import structs

from producers.chains.configuration import ChainConfig, Factory
from tlv.codes import Protocol
from tools.prove.world.contracts import (
    FEES,
    TOKENS,
    Call,
    Contract,
    WorldPool,
    draw_lookalike,
    draw_pools,
    events_of,
    pool_of,
    selector,
    token_of,
    word,
)

PLAIN = ("UNISWAP_V2", "UNISWAP_V3", "ALGEBRA")
ASKED = 0.6
"""Of the factories of a world with lookups, those without an init code hash."""
OF_MARKET = 0.6
"""Of the pools of a world, those of its markets."""
MANAGER, POSITIONS, VAULT, REGISTRY, LIAR = (f"0x{digits * 20}" for digits in ("4a", "4b", "ba", "c7", "1a"))
NAMED = {
    "hubs": ((Protocol.UNISWAP_V4, MANAGER), (Protocol.BALANCER_V2, VAULT)),
    "coins": ((Protocol.CURVE, REGISTRY),),
}
MOST_COINS = 8
LIES = ("another", "no address", "reverts", "zero")
ANY_BLOCK = "0x" + "00" * 32
NOBODY = bytes([0xAB]) * 20


class Markets:
    """The markets of one world."""

    def __init__(self, chain: ChainConfig, kinds: frozenset[str], rng: Random) -> None:
        plain = [factory for factory in chain.factories if factory.protocol in PLAIN and factory.init_code_hash]
        if "lookups" in kinds:
            asked = [rng.random() < ASKED for _ in plain]
            asked[rng.randrange(len(plain))] = True
            plain = [
                structs.replace(factory, init_code_hash=None) if is_asked else factory
                for factory, is_asked in zip(plain, asked, strict=True)
            ]
        self._plain = tuple(plain)
        venue = plain[0].venue
        self._hubs = [
            Factory(venue, protocol.name, address, positions=POSITIONS if protocol is Protocol.UNISWAP_V4 else None)
            for market, named in NAMED.items()
            if market in kinds
            for protocol, address in named
        ]
        self._liar = Factory(venue, "UNISWAP_V2", LIAR, fee_pips=3000) if "liars" in kinds else None
        liars = [self._liar] if self._liar is not None else []
        self.chain = structs.replace(chain, factories=(*plain, *self._hubs, *liars))
        self._rng = rng
        self._plain_chain = structs.replace(chain, factories=self._plain)
        self._contracts = {address: Contract(_raw(address)) for address in (MANAGER, VAULT)}
        """Of factories, by address: these revert where they are asked something else."""
        for factory in self.chain.factories:
            self._contracts.setdefault(factory.address, Contract(_raw(factory.address), fallback=word(0)))
        self._contracts[POSITIONS] = Contract(_raw(POSITIONS), fallback=word(0))
        self._contracts[REGISTRY] = Contract(_raw(REGISTRY), fallback=words(*[0] * MOST_COINS))

    @property
    def makers(self) -> list[Contract]:
        """The contracts of its factories."""
        return list(self._contracts.values())

    def draw_pools(self, rng: Random, count: int) -> list[WorldPool]:
        """Different pools; each market has one at least, where there is room."""
        pools = draw_pools(self._plain_chain, rng, count)
        places = [at for at in range(count) if self._rng.random() < OF_MARKET]
        markets = [*self._hubs, *([self._liar] if self._liar is not None else [])]
        for at, factory in zip(places, self._rng.sample(markets, len(markets)), strict=False):
            pools[at] = self._named_pool(factory)
        for pool in pools:
            self._look_up(pool)
        return pools

    def draw_lookalike(self, rng: Random, number: int) -> WorldPool:
        """A contract that emits the events of pools, and is none."""
        found = draw_lookalike(self._plain_chain, rng, number)
        if self._hubs and self._rng.random() < 0.5:
            return self._hub_lookalike(self._rng.choice(self._hubs), found)
        return found if self._liar is None else self._denied(self._liar, number)

    def _named_pool(self, factory: Factory) -> WorldPool:
        """A pool of a factory that is not plain."""
        rng = self._rng
        numbers = sorted(rng.sample(range(TOKENS), 3))
        tokens = [token_of(number).address for number in numbers]
        match factory.protocol:
            case Protocol.UNISWAP_V4.name:
                return self._manager_pool(factory, tokens[0], tokens[1])
            case Protocol.BALANCER_V2.name:
                return self._vault_pool(factory, tokens)
            case Protocol.CURVE.name:
                return self._registry_pool(factory, tokens)
        pool = pool_of(factory, numbers[0], numbers[1], 0)
        pool.lies = True
        return pool

    def _manager_pool(self, factory: Factory, token0: bytes, token1: bytes) -> WorldPool:
        """One of Uniswap V4, which the position manager may know, or else its creation tells of."""
        fee, spacing, hooks = self._rng.choice(FEES), 60, bytes(20)
        key = words(token0, token1, fee, spacing, hooks)
        name = keccak(key)
        facts = {"token0": token0, "token1": token1, "fee_pips": fee, "tick_spacing": spacing, "hooks": hooks}
        self._say(POSITIONS, selector("poolKeys(bytes25)") + name[:25] + bytes(7), name, key)
        contract, emitter = Contract(name), _raw(factory.address)
        return WorldPool(
            contract, events_of(factory), factory, token0, token1, facts={**facts, "pool": name}, emitter=emitter
        )

    def _vault_pool(self, factory: Factory, coins: list[bytes]) -> WorldPool:
        """One of Balancer V2."""
        name = self._rng.randbytes(32)
        listed = words(96, 224, 1, 3, *coins, 3, 1, 1, 1)
        self._say(VAULT, selector("getPool(bytes32)") + name, name, word(name[:20]) + word(0))
        self._say(VAULT, selector("getPoolTokens(bytes32)") + name, name, listed)
        emitter = _raw(factory.address)
        return WorldPool(Contract(name), events_of(factory), factory, emitter=emitter, coins=tuple(coins))

    def _registry_pool(self, factory: Factory, coins: list[bytes]) -> WorldPool:
        """One of Curve."""
        contract = Contract(self._rng.randbytes(20))
        for index, coin in enumerate(coins):
            contract.lookups[selector("coins(uint256)") + word(index)] = contract.address, _always(word(coin))
        call = selector("get_coins(address)") + word(contract.address)
        self._say(REGISTRY, call, contract.address, words(*coins, *[0] * (MOST_COINS - len(coins))))
        events = tuple(event for event in events_of(factory) if event.solidity_name == "TokenExchange")
        return WorldPool(contract, events, factory, coins=tuple(coins))

    def _say(self, address: str, call: bytes, pool: bytes, answer: bytes) -> None:
        """What a contract answers to a call about a pool."""
        self._contracts[address].lookups[call] = pool, _always(answer)

    def _look_up(self, pool: WorldPool) -> None:
        """Let the factory of a pool know it."""
        factory = pool.factory
        if factory is None or factory.protocol not in PLAIN:
            return
        more = (pool.facts["fee_pips"],) if factory.kind.proof.functions else ()
        answer = _always(word(pool.name)) if not pool.lies else partial(_changing, pool.name)
        call = _lookup_of(factory, pool.token0, pool.token1, more)
        self._contracts[factory.address].lookups[call] = pool.name, answer

    def _hub_lookalike(self, factory: Factory, found: WorldPool) -> WorldPool:
        """A contract that speaks like one of these, and is another."""
        events = self._named_pool(factory).events
        coins = tuple(token_of(number).address for number in range(3))
        takes_coins = any(argument.coin for event in events for argument in event.arguments)
        has_id = any(place.topic for event in events for place in event.names_pool) and factory.protocol != "CURVE"
        contract = Contract(self._rng.randbytes(32 if has_id else 20))
        emitter = found.name if has_id else b""
        return WorldPool(contract, events, coins=coins if takes_coins else (), emitter=emitter)

    def _denied(self, liar: Factory, number: int) -> WorldPool:
        """A contract that says that it is a pool of this factory, which says something else."""
        first, second = sorted(self._rng.sample(range(TOKENS), 2))
        model = pool_of(liar, first, second, 0)
        contract = Contract(bytes([0xED]) * 18 + bytes([self._rng.randrange(256), number]), model.contract.functions)
        call = _lookup_of(liar, model.token0, model.token1, ())
        known = self._contracts[LIAR].lookups
        answers = {"another": word(NOBODY), "no address": word(1 << 200 | 5), "reverts": None, "zero": word(0)}
        _, said = known.setdefault(call, (contract.address, _always(answers[self._rng.choice(LIES)])))
        return WorldPool(contract, model.events, silent=said(ANY_BLOCK) == word(0))


def _lookup_of(factory: Factory, token0: bytes, token1: bytes, more: tuple[int, ...]) -> bytes:
    """The call that asks a factory for a pool."""
    return selector(factory.kind.proof.lookup) + words(token0, token1, *more)


def words(*values: int | bytes) -> bytes:
    """One word each."""
    return b"".join(map(word, values))


def _always(answer: bytes | None) -> Call:
    return lambda _: answer


def _changing(pool: bytes, block_hash: str) -> bytes:
    """Another answer after every other block."""
    return word(pool if int(block_hash[2:4], 16) % 2 else NOBODY)


def _raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])
