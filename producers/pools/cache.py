"""Verified pools on disk, so that a restart asks the node nothing about them.

Owns the file: one JSON line per pool, appended and flushed to the disk, mode 0600.  Whoever can write the file could
name any pool, so nothing in it is trusted but what a token says of itself: the address is recomputed (CREATE2) under
the factory as it is configured now, which also gives venue and fee.  A line is

    used      of this chain, that is, of its id and its early block
    passed    of another chain, or of a factory that is no longer configured: nothing is wrong with it
    refused   anything else: counted by reason, and the first is named by line

It must never be read while a collector runs on it: the collector reads once, before it starts.  Which chain the node
serves may be known only later, so what was read waits by early block until then (`CachedPools`).
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from producers.chains.configuration import ChainConfig, Factory, HexAddress, HexHash
from producers.decode.pool_table import POOL_ROW, PoolTable, VerifiedEmitter
from producers.node.view_calls import SYMBOL_BYTES
from producers.pools.inquiry import Finding, Token
from tlv.shown import is_shown

ADDRESS_BYTES = 20
Byte = Annotated[int, msgspec.Meta(ge=0, lt=256)]


class Row(msgspec.Struct):
    """One line of the file."""

    chain_id: int
    pool: HexAddress
    token0: HexAddress
    token1: HexAddress
    factory: HexAddress
    fee_pips: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)]
    tick_spacing: Annotated[int, msgspec.Meta(ge=0, lt=1 << 15)]
    decimals0: Byte
    decimals1: Byte
    symbol0: str
    symbol1: str
    genesis: HexHash = "0x" + "0" * 64
    """Hash of the chain's early block; zeros = it was not known."""


class _Mark(msgspec.Struct):
    """Whose line it is; the rest of another chain's line is not looked at."""

    chain_id: int


_ROW = msgspec.json.Decoder(Row)
_MARK = msgspec.json.Decoder(_Mark)


class CachedPool(NamedTuple):
    """A row that was proven again."""

    pool: VerifiedEmitter
    token0: Token
    token1: Token


class CachedPools:
    """What was read, by early block; used once it is known which one the node's chain has.

    It waits as packed rows and with one token an address, which take a third of what objects did.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        """Lines that cannot be right, by reason."""
        self.first_refused = ""
        """The first of them, by line."""
        self._rows: dict[bytes, bytearray] = defaultdict(bytearray)
        self._tokens: dict[bytes, dict[bytes, Token]] = defaultdict(dict)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values())) // POOL_ROW.itemsize

    def keep(self, genesis: bytes, pool: CachedPool) -> None:
        """A row of the chain that has this early block."""
        self._rows[genesis] += pool.pool.pack()
        tokens = self._tokens[genesis]
        tokens[pool.pool.token0], tokens[pool.pool.token1] = pool.token0, pool.token1

    def refuse(self, line: int, reason: str, detail: str) -> None:
        """A row that cannot be right."""
        self.refused[reason] += 1
        self.first_refused = self.first_refused or f"line {line}: {detail}"

    def add_to(self, table: PoolTable, tokens: dict[bytes, Token], genesis: bytes) -> int:
        """Give the pools of this chain to `table`, their tokens to `tokens`; the others are forgotten."""
        rows = np.frombuffer(self._rows.pop(genesis, b""), dtype=POOL_ROW)
        table.add_unknown(rows)
        for address, token in self._tokens.pop(genesis, {}).items():
            tokens.setdefault(address, token)
        self._rows.clear()
        self._tokens.clear()
        return len(rows)


NO_POOLS = CachedPools()
"""For a feed that has no cache."""


class PoolCache:
    """The pools of one chain, in one file."""

    def __init__(self, path: Path, chain: ChainConfig) -> None:
        self._path = path
        self._chain_id = chain.chain_id
        self._factories = {factory.address: factory for factory in chain.factories}

    def load(self) -> CachedPools:
        """Every usable row."""
        found = CachedPools()
        for number, line in enumerate(self._lines(), 1):
            try:
                if _MARK.decode(line).chain_id != self._chain_id:
                    continue
                row = _ROW.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                found.refuse(number, "unreadable", str(error))
                continue
            factory = self._factories.get(row.factory)
            if factory is None:
                continue
            wrong = _what_is_wrong(row, factory)
            if wrong is not None:
                found.refuse(number, *wrong)
            else:
                found.keep(_bytes(row.genesis), _proven(row, factory))
        return found

    def _lines(self) -> Iterator[bytes]:
        """One at a time: 100,000 pools are 33 MB of text, which would stay with the process."""
        try:
            with self._path.open("rb") as lines:
                yield from lines
        except FileNotFoundError:
            return

    def keeps(self, finding: Finding) -> bool:
        """Whether a pool is for the file: its tokens said what they are, and a row proves it; others are asked anew."""
        pool = finding.pool
        if pool is None or not finding.settled:
            return False
        factory = self._factories.get(_hex(pool.factory))
        return factory is not None and _by_address(factory) and len(pool.pool) == ADDRESS_BYTES

    def append(self, findings: Iterable[Finding], genesis: bytes = bytes(32)) -> None:
        """Add pools whose tokens have said what they are; the others are asked again after a restart.

        Raises:
            OSError: the disk refuses; what is missing is asked again after a restart.
        """
        rows = []
        for finding in findings:
            pool = finding.pool
            if pool is None or not self.keeps(finding):
                continue
            row = Row(
                chain_id=self._chain_id,
                pool=_hex(pool.pool),
                token0=_hex(pool.token0),
                token1=_hex(pool.token1),
                factory=_hex(pool.factory),
                fee_pips=pool.fee_pips,
                tick_spacing=pool.tick_spacing,
                decimals0=pool.decimals0,
                decimals1=pool.decimals1,
                symbol0=finding.token0.symbol,
                symbol1=finding.token1.symbol,
                genesis=_hex(genesis),
            )
            rows.append(msgspec.json.encode(row))
        if not rows:
            return
        lines = b"\n".join([*rows, b""])
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                lines = b"\n" + lines  # a crash cut the last line: it must not swallow the next
            while lines:  # a disk that is almost full takes a part, and refuses the rest
                lines = lines[os.write(fd, lines) :]
            os.fsync(fd)
        finally:
            os.close(fd)


def _what_is_wrong(row: Row, factory: Factory) -> tuple[str, str] | None:
    """Reason and detail, if no verification can have written this row."""
    token0, token1 = _bytes(row.token0), _bytes(row.token1)
    if token0 >= token1:
        return "tokens", f"expected token0 below token1, found {row.token0} and {row.token1}"
    words = [row.fee_pips for name in factory.kind.proof.functions if name == "fee()"]
    if len(words) < len(factory.kind.proof.functions) or not _by_address(factory):
        return "unprovable", f"a row does not hold what proves a {factory.protocol} pool"
    address = _hex(factory.pool_address(token0, token1, *words))
    if address != row.pool:
        return "address", f"expected {address} as the {factory.venue} pool of these tokens, found {row.pool}"
    for name, symbol in (("symbol0", row.symbol0), ("symbol1", row.symbol1)):
        if len(symbol.encode(errors="replace")) > SYMBOL_BYTES or not is_shown(symbol):
            return "symbol", f"expected at most {SYMBOL_BYTES} printable bytes as {name}, found {symbol[:40]!r}"
    return None


def _proven(row: Row, factory: Factory) -> CachedPool:
    pool = VerifiedEmitter(
        pool=_bytes(row.pool),
        token0=_bytes(row.token0),
        token1=_bytes(row.token1),
        venue=factory.venue_code,
        decimals0=row.decimals0,
        decimals1=row.decimals1,
        factory=_bytes(row.factory),
        fee_pips=factory.fee_pips or row.fee_pips,
        tick_spacing=row.tick_spacing,
        protocol=factory.protocol_code,
    )
    return CachedPool(pool, Token(row.decimals0, row.symbol0), Token(row.decimals1, row.symbol1))


def _by_address(factory: Factory) -> bool:
    """Whether the address of its pools follows from what a row holds."""
    functions = factory.kind.proof.functions
    return factory.init_code_hash is not None and set(functions) <= {"fee()"}


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
