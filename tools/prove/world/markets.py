"""What trades in a world beside pools that CREATE2 proves: which factories there are, their pools, and what they say.

Owns the markets of a seed (`tools.prove.world.faults.MARKETS`).  Without them a world has the factories of `PLAIN`.

    lookups   some factories have no init code hash: they are asked for their pools
    hubs      one contract keeps all pools, and names them by an id: Uniswap V4, where the chain's own coin trades too,
              Balancer V2; or by their coins alone: WOOFi
    coins     pools whose swaps name coin in and coin out: two of three (Curve), or base and quote (DODO)
    forks     pairs of all other kinds (`tools.prove.world.forks`)
    liars     a factory whose answers change, and pools of which it says that another is in their place, or nonsense
"""

from __future__ import annotations

from functools import partial
from random import Random

from eth_hash.auto import keccak
from msgspec import structs

from producers.chains.configuration import ChainConfig, Factory
from producers.kinds.events import ContractEvent
from tlv.codes import Protocol
from tools.prove.world.contracts import (
    FEES,
    NATIVE,
    NATIVE_OF_CURVE,
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
    words,
)
from tools.prove.world.forks import draw_factories, draw_fork_pool, fee_call_of, lookup_of

PLAIN = ("UNISWAP_V2", "UNISWAP_V3", "ALGEBRA")
ASKED = 0.6
"""Of the factories of a world with lookups, those without an init code hash."""
OF_MARKET = 0.6
"""Of the pools of a world, those of its markets."""
MANAGER, POSITIONS, VAULT, REGISTRY, LIAR, DESK, LISTS = (
    f"0x{digits * 20}" for digits in ("4a", "4b", "ba", "c7", "1a", "d5", "d0")
)
NAMED = {
    "hubs": ((Protocol.UNISWAP_V4, MANAGER), (Protocol.BALANCER_V2, VAULT), (Protocol.WOOFI, DESK)),
    "coins": ((Protocol.CURVE, REGISTRY), (Protocol.DODO, LISTS)),
}
MOST_COINS = 8
LIES = ("another", "no address", "reverts", "zero")
CLAIMS = ("reverts", "listed by nobody", "others are listed", "other coins")
"""What contracts are that speak like DODO's pools and are none."""
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
        self._forks = draw_factories(rng, venue) if "forks" in kinds else []
        self._liar = Factory(venue, "UNISWAP_V2", LIAR, fee_pips=3000) if "liars" in kinds else None
        liars = [self._liar] if self._liar is not None else []
        self.chain = structs.replace(chain, factories=(*plain, *self._hubs, *self._forks, *liars))
        self._rng = rng
        self._plain_chain = structs.replace(chain, factories=self._plain)
        self._contracts = {address: Contract(_raw(address)) for address in (MANAGER, VAULT, DESK)}
        """Of factories, by address: these revert where they are asked something else."""
        self._contracts[LISTS] = Contract(_raw(LISTS), fallback=listing())
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
        markets = [*self._hubs, *self._forks, *([self._liar] if self._liar is not None else [])]
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
        asked = [factory for factory in self._forks if factory.init_code_hash is None]
        asked += [self._liar] if self._liar is not None else []
        return self._denied(self._rng.choice(asked), number) if asked else found

    def _named_pool(self, factory: Factory) -> WorldPool:
        """A pool of a factory that is not plain."""
        rng = self._rng
        if factory in self._forks:
            return draw_fork_pool(factory, rng)
        numbers = sorted(rng.sample(range(TOKENS), 3))
        tokens = [token_of(number).address for number in numbers]
        match factory.protocol:
            case Protocol.UNISWAP_V4.name:
                return self._manager_pool(factory, rng.choice((NATIVE, tokens[0])), tokens[1])
            case Protocol.BALANCER_V2.name:
                return self._vault_pool(factory, tokens)
            case Protocol.CURVE.name:
                return self._registry_pool(factory, rng.choice((tokens, [NATIVE_OF_CURVE, *tokens[1:]])))
            case Protocol.DODO.name:
                return self._listed_pool(factory, rng.sample(tokens, 2))
            case Protocol.WOOFI.name:
                return WorldPool(Contract(_raw(DESK)), events_of(factory), factory, coins=tuple(tokens))
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
        others = [token_of(number).address for number in range(TOKENS) if token_of(number).address not in coins]
        for call, listed in (("get_coins(address)", coins), ("get_underlying_coins(address)", others)):
            said = words(*listed, *[0] * (MOST_COINS - len(listed)))
            self._say(REGISTRY, selector(call) + word(contract.address), contract.address, said)
        return WorldPool(contract, events_of(factory), factory, coins=tuple(coins), beneath=tuple(others))

    def _listed_pool(self, factory: Factory, coins: list[bytes]) -> WorldPool:
        """One of DODO: base and quote."""
        contract = _claiming(self._rng.randbytes(20), coins)
        call = selector("getDODOPool(address,address)") + words(*coins)
        self._say(LISTS, call, contract.address, listing(NOBODY, contract.address))
        return WorldPool(contract, events_of(factory), factory, coins=tuple(coins))

    def _say(self, address: str, call: bytes, pool: bytes, answer: bytes) -> None:
        """What a contract answers to a call about a pool."""
        self._contracts[address].lookups[call] = pool, _always(answer)

    def _look_up(self, pool: WorldPool) -> None:
        """Let the factory of a pool know it."""
        factory = pool.factory
        if factory is None or not factory.kind.proof.lookup:
            return
        answer = _always(word(pool.name)) if not pool.lies else partial(_changing, pool.name)
        known = self._contracts[factory.address].lookups
        known[lookup_of(pool)] = pool.name, answer
        if (fee := fee_call_of(pool)) is not None:
            known[fee[0]] = pool.name, fee[1]

    def _hub_lookalike(self, factory: Factory, found: WorldPool) -> WorldPool:
        """A contract that speaks like one of these, and is another."""
        coins = tuple(token_of(number).address for number in range(3))
        if factory.protocol == Protocol.DODO.name:
            return self._unlisted(found.name, events_of(factory), coins)
        events = self._named_pool(factory).events
        has_id = any(argument.fields == ("pool",) for event in events for argument in event.arguments)
        contract = Contract(self._rng.randbytes(32 if has_id else 20))
        emitter = found.name if has_id else b""
        return WorldPool(contract, events, coins=coins, beneath=coins, emitter=emitter)

    def _unlisted(self, address: bytes, events: tuple[ContractEvent, ...], coins: tuple[bytes, ...]) -> WorldPool:
        """A contract that speaks like one of DODO's pools."""
        claim, (base, quote, third) = self._rng.choice(CLAIMS), coins
        contract = Contract(address) if claim == "reverts" else _claiming(address, [base, quote])
        listed = listing(*[NOBODY] * (claim != "listed by nobody"))
        call = selector("getDODOPool(address,address)") + words(base, quote)
        self._contracts[LISTS].lookups.setdefault(call, (address, _always(listed)))
        return WorldPool(contract, events, coins=(base, third) if claim == "other coins" else (base, quote))

    def _denied(self, factory: Factory, number: int) -> WorldPool:
        """A contract that says that it is a pool of this factory, which says something else."""
        first, second = sorted(self._rng.sample(range(TOKENS), 2))
        models = [pool_of(factory, first, second, 0, stable) for stable in (0, 1)]
        address = bytes([0xED]) * 18 + bytes([self._rng.randrange(256), number])
        contract = Contract(address, models[0].contract.functions)
        known = self._contracts[factory.address].lookups
        answers = {"another": word(NOBODY), "no address": word(1 << 200 | 5), "reverts": None, "zero": word(0)}
        lie = contract.address, _always(answers[self._rng.choice(LIES)])
        lies = [known.setdefault(lookup_of(model), lie) for model in models]
        # nothing is said of a pool that is not there yet, nor of one that a custom deployer may have made
        silent = any(said(ANY_BLOCK) == word(0) or pool != address for pool, said in lies)
        silent = silent or bool(factory.custom_deployers)
        return WorldPool(contract, models[0].events, silent=silent)


def _claiming(address: bytes, coins: list[bytes]) -> Contract:
    """A contract that says that it trades these two."""
    said = dict(zip(("_BASE_TOKEN_()", "_QUOTE_TOKEN_()"), coins, strict=True))
    return Contract(address, {selector(name): _always(word(coin)) for name, coin in said.items()})


def listing(*addresses: bytes) -> bytes:
    """A list, as the ABI writes it."""
    return words(32, len(addresses), *addresses)


def _always(answer: bytes | None) -> Call:
    return lambda _: answer


def _changing(pool: bytes, block_hash: str) -> bytes:
    """Another answer after every other block."""
    return word(pool if int(block_hash[2:4], 16) % 2 else NOBODY)


def _raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])
