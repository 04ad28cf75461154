"""Verified pools on disk, so that a restart asks the node nothing about them.

Owns the file: one JSON line per pool, appended and flushed to the disk, mode 0600.  A line that a crash cut short, or
that is of another chain, is skipped; a pool whose factory is no longer configured is skipped too, since its venue and
fee come from there.  It must never be read while a collector runs on it: the collector reads once, before it starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from producers.chains.configuration import ChainConfig, HexAddress
from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.pools.verification import Finding, Token


class Row(msgspec.Struct):
    """One line of the file."""

    chain_id: int
    pool: HexAddress
    token0: HexAddress
    token1: HexAddress
    factory: HexAddress
    fee_pips: int
    tick_spacing: int
    decimals0: int
    decimals1: int
    symbol0: str
    symbol1: str


_ROW = msgspec.json.Decoder(Row)


class PoolCache:
    """The pools of one chain, in one file."""

    def __init__(self, path: Path, chain: ChainConfig) -> None:
        self._path = path
        self._chain_id = chain.chain_id
        self._factories = {factory.address: factory for factory in chain.factories}

    def load(self, table: PoolTable, tokens: dict[bytes, Token]) -> int:
        """Add every usable pool to `table` and its tokens to `tokens`; returns how many there were."""
        loaded = 0
        for line in self._lines():
            try:
                row = _ROW.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            factory = self._factories.get(row.factory)
            if factory is None or row.chain_id != self._chain_id:
                continue
            token0, token1 = _bytes(row.token0), _bytes(row.token1)
            table.add(
                VerifiedEmitter(
                    pool=_bytes(row.pool),
                    token0=token0,
                    token1=token1,
                    venue=factory.venue_code,
                    decimals0=row.decimals0,
                    decimals1=row.decimals1,
                    factory=_bytes(row.factory),
                    fee_pips=factory.fee_pips or row.fee_pips,
                    tick_spacing=row.tick_spacing,
                    protocol=factory.protocol_code,
                )
            )
            tokens[token0] = Token(row.decimals0, row.symbol0)
            tokens[token1] = Token(row.decimals1, row.symbol1)
            loaded += 1
        return loaded

    def _lines(self) -> Iterator[bytes]:
        """One at a time: 100,000 pools are 33 MB of text, which would stay with the process."""
        try:
            with self._path.open("rb") as lines:
                yield from lines
        except FileNotFoundError:
            return

    def append(self, findings: Iterable[Finding]) -> None:
        """Add pools whose tokens have said what they are; the others are asked again after a restart.

        Raises:
            OSError: the disk refuses; what is missing is asked again after a restart.
        """
        rows = []
        for finding in findings:
            pool = finding.pool
            if pool is None or not finding.settled:
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


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
