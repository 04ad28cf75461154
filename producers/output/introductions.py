"""PoolState: what a reader must know of a pool before its first event.

Owns which pools were introduced, and the record.  Readers that join late are served too: from time to time all
introductions are forgotten, and the next event of each pool brings its own along.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import structs

from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.kinds.events import Role
from producers.kinds.kind import StateAnswer
from producers.output.outbox import Outbox
from producers.pools.inquiry import Token
from tlv.codes import Domain, Flag
from tlv.layout import PoolCoin, PoolState


class Introductions:
    """The pools of which one ring holds a PoolState."""

    def __init__(
        self, outbox: Outbox, table: PoolTable, tokens: dict[bytes, Token], fee_makers: Collection[bytes] = ()
    ) -> None:
        self._outbox, self._table, self._tokens = outbox, table, tokens
        self._fee_makers = fee_makers
        """Factories whose pools' fees change without an event: they are asked again with each introduction."""
        self.introduced: set[int] = set()
        """Rows of the pools that have a PoolState since `forget`."""
        self.known: set[int] = set()
        """Rows of the pools that were introduced at any time."""

    def introduce(self, rows: Iterable[int]) -> list[int]:
        """A PoolState for each pool in these rows that has none since `forget`; returns those that are to be asked
        about: they never had one, or their factory may have changed their fee."""
        fresh = set(rows).difference(self.introduced)
        self.introduced |= fresh
        pools = [row for row in fresh if self.pool(row).role != Role.FACTORY]
        for row in pools:
            self.put(row, StateAnswer())
        asked = [row for row in pools if row not in self.known or self.pool(row).factory in self._fee_makers]
        self.known.update(asked)
        return asked

    def introduce_anew(self, row: int) -> bool:
        """A PoolState again, since the pool's tokens have said what they are; False if readers never heard of it."""
        if row in self.known:
            self.put(row, StateAnswer())
        return row in self.known

    def forget(self) -> None:
        """Let every pool's next event be preceded by its PoolState again."""
        self.introduced.clear()

    def pool(self, row: int) -> VerifiedEmitter:
        """The pool in a row of the table."""
        return VerifiedEmitter.unpack(self._table.rows[row].tobytes())

    def set_fee(self, row: int, fee_pips: int) -> None:
        """What the pool charges from now on."""
        pool = self.pool(row)
        if pool.fee_pips != fee_pips:
            self._table.replace(row, structs.replace(pool, fee_pips=fee_pips))

    def put(self, row: int, state: StateAnswer) -> None:
        """The PoolState of one pool: who it is, and what it holds."""
        pool, nobody, held = self.pool(row), Token(), state._asdict()
        fee_pips, fee_pips_back = held.pop("fees") or (pool.fee_pips, 0)
        record = PoolState(
            pool=pool.pool,
            token0=pool.token0,
            token1=pool.token1,
            venue=pool.venue,
            decimals0=pool.decimals0,
            decimals1=pool.decimals1,
            **held,
            fee_pips=fee_pips,
            tick_spacing=pool.tick_spacing,
            protocol=pool.protocol,
            factory=pool.factory,
            symbol0=self._tokens.get(pool.token0, nobody).symbol,
            symbol1=self._tokens.get(pool.token1, nobody).symbol,
            fee_pips_back=fee_pips_back,
            hooks=pool.hooks,
            curve=pool.curve,
        )
        coins = [self._coin(index, token) for index, token in enumerate(self._table.coins.get(row, ()))]
        self._outbox.put(Domain.MARKET_DATA, record, *coins, flags=Flag.SNAPSHOT)

    def _coin(self, index: int, token: bytes) -> PoolCoin:
        known = self._tokens.get(token, Token())
        return PoolCoin(token, known.symbol, index, known.decimals)
