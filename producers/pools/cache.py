"""Verified pools on disk, so that a restart asks the node nothing about them.

Owns the file: one JSON line per pool, appended and flushed to the disk, mode 0600.  There are two forms of line:

    a row         what CREATE2 hashes: the address is recomputed under the factory as it is configured now, which also
                  gives venue and fee.  Whoever can write the file could name any pool so, but none that is not one;
                  nothing is trusted but what a token says of itself
    a transcript  of a pool that is proven otherwise (by a factory's lookup, by a key, by a registry), or one of several
                  coins: what its contracts answered, and the log that was needed.  Its kinds' `prove` is told the same
                  again, under the chain file as it is now.  What that file would have asked otherwise was not answered,
                  so the pool is asked anew.  Its answers are believed, so a file that others may write has none

A line is

    used      of this chain, that is, of its id and its early block
    passed    of another chain, of a factory that is no longer configured, or no proof under this chain file: nothing is
              wrong with it
    refused   anything else: counted by reason, and the first is named by line

It must never be read while a collector runs on it: the collector reads once, before it starts.  Which chain the node
serves may be known only later, so what was read waits by early block until then (`CachedPools`).
"""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from producers.chains.configuration import ChainConfig, Factory, HexAddress, HexHash
from producers.decode.pool_table import POOL_ROW, PoolTable, VerifiedEmitter
from producers.kinds.emitter_key import address_of
from producers.node.call_program import REVERTED, Question
from producers.node.rpc_types import Log
from producers.node.view_calls import LONGEST_ANSWER, SYMBOL_BYTES
from producers.pools.inquiry import Finding, Inquiry, ProofBasis, Token, is_long
from tlv.shown import is_shown

ADDRESS_BYTES = 20
Wrong = tuple[str, str]
"""Why a line cannot be right, in a word and in a sentence."""
HexText = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]*$", max_length=LONGEST_ANSWER)]
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


class KeptAnswer(msgspec.Struct, array_like=True):
    """What a contract answered to a question."""

    to: HexAddress
    data: HexText
    words: Annotated[int, msgspec.Meta(ge=0)]
    answer: Annotated[str, msgspec.Meta(pattern="^(0x[0-9a-fA-F]*)?$", max_length=LONGEST_ANSWER)] | None
    """None: it reverted."""


class KeptLog(msgspec.Struct, array_like=True):
    """What of a log a proof looks at."""

    topics: Annotated[tuple[HexHash, ...], msgspec.Meta(min_length=1)]
    data: HexText


class KeptToken(msgspec.Struct, array_like=True):
    """What a token said of itself."""

    address: HexAddress
    decimals: Byte
    symbol: str


class Transcript(msgspec.Struct):
    """One line of the file: what proved a pool, and its coins."""

    chain_id: int
    key: Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{40}([0-9a-f]{64})?([0-9a-f]{80})?$")]
    """The pool's name, `producers.kinds.emitter_key`."""
    protocols: tuple[Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)], ...]
    answers: tuple[KeptAnswer, ...]
    heard: tuple[KeptLog, ...]
    tokens: tuple[KeptToken, ...]
    genesis: HexHash = "0x" + "0" * 64


class _Mark(msgspec.Struct):
    """Whose line it is, and of which form; the rest of another chain's line is not looked at."""

    chain_id: int
    key: str = ""
    """Only a transcript has one."""


_ROW = msgspec.json.Decoder(Row)
_TRANSCRIPT = msgspec.json.Decoder(Transcript)
_MARK = msgspec.json.Decoder(_Mark)


class CachedPool(NamedTuple):
    """A pool that was proven again."""

    pool: VerifiedEmitter
    tokens: dict[bytes, Token]
    key: str = ""
    """Its name where that may be another than its address."""
    coins: tuple[bytes, ...] = ()
    """All of a pool of more than two."""


class NamedPool(NamedTuple):
    """The same as it waits."""

    key: str
    pool: VerifiedEmitter
    coins: tuple[bytes, ...]


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
        self._named: dict[bytes, list[NamedPool]] = defaultdict(list)
        self._tokens: dict[bytes, dict[bytes, Token]] = defaultdict(dict)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values())) // POOL_ROW.itemsize + sum(map(len, self._named.values()))

    def keep(self, genesis: bytes, pool: CachedPool) -> None:
        """A pool of the chain that has this early block."""
        if pool.key:
            self._named[genesis].append(NamedPool(pool.key, pool.pool, pool.coins))
        else:
            self._rows[genesis] += pool.pool.pack()
        self._tokens[genesis].update(pool.tokens)

    def refuse(self, line: int, reason: str, detail: str) -> None:
        """A row that cannot be right."""
        self.refused[reason] += 1
        self.first_refused = self.first_refused or f"line {line}: {detail}"

    def add_to(self, table: PoolTable, tokens: dict[bytes, Token], genesis: bytes) -> int:
        """Give the pools of this chain to `table`, their tokens to `tokens`; the others are forgotten."""
        rows = np.frombuffer(self._rows.pop(genesis, b""), dtype=POOL_ROW)
        table.add_unknown(rows)
        named = self._named.pop(genesis, [])
        for key, pool, coins in named:
            if key not in table.row_of:
                row = table.add(pool, key)
                if coins:
                    table.coins[row] = coins
        for address, token in self._tokens.pop(genesis, {}).items():
            tokens.setdefault(address, token)
        for waiting in (self._rows, self._named, self._tokens):
            waiting.clear()
        return len(rows) + len(named)


NO_POOLS = CachedPools()
"""For a feed that has no cache."""


class PoolCache:
    """The pools of one chain, in one file."""

    def __init__(self, path: Path, chain: ChainConfig) -> None:
        self._path, self._chain = path, chain
        self._chain_id = chain.chain_id
        self._factories = {factory.address: factory for factory in chain.factories}

    def load(self) -> CachedPools:
        """Every usable line."""
        found = CachedPools()
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return found
        with file:
            believed = _is_ours(os.fstat(file.fileno()))
            for number, line in enumerate(file, 1):  # one at a time: 100,000 rows are 33 MB, which would stay
                wrong = self._take_line(line, found, believed)
                if wrong is not None:
                    found.refuse(number, *wrong)
        return found

    def _take_line(self, line: bytes, found: CachedPools, believed: bool) -> Wrong | None:
        try:
            mark = _MARK.decode(line)
            if mark.chain_id != self._chain_id:
                return None
            if not mark.key:
                return self._take_row(_ROW.decode(line), found)
            if not believed:
                return "writable", f"others may write {self._path}, so answers in it prove nothing"
            return self._take_transcript(_TRANSCRIPT.decode(line), found)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return "unreadable", str(error)

    def _take_row(self, row: Row, found: CachedPools) -> Wrong | None:
        factory = self._factories.get(row.factory)
        if factory is None:
            return None
        wrong = _what_is_wrong(row, factory)
        if wrong is None:
            found.keep(_bytes(row.genesis), _proven(row, factory))
        return wrong

    def _take_transcript(self, kept: Transcript, found: CachedPools) -> Wrong | None:
        tokens = {_bytes(token.address): Token(token.decimals, token.symbol) for token in kept.tokens}
        for token in kept.tokens:
            if not _is_symbol(token.symbol):
                return "symbol", _wrong_symbol(token.address, token.symbol)
        inquiry = Inquiry(self._chain, kept.key, kept.protocols)
        inquiry.recall(_basis_of(kept))
        inquiry.open_questions()
        pool = inquiry.pool
        if pool is None:
            return None
        coins = dict.fromkeys((pool.token0, pool.token1, *inquiry.coins))
        lacking = next((coin for coin in coins if coin not in tokens), None)
        if lacking is not None:
            return "tokens", f"expected what each coin said of itself, found nothing of {_hex(lacking)}"
        decimals = {"decimals0": tokens[pool.token0].decimals, "decimals1": tokens[pool.token1].decimals}
        pool = msgspec.structs.replace(pool, **decimals)
        said = {coin: tokens[coin] for coin in coins}
        found.keep(_bytes(kept.genesis), CachedPool(pool, said, kept.key, inquiry.coins))
        return None

    def keeps(self, finding: Finding) -> bool:
        """Whether a pool is for the file: its tokens said what they are, and a line can prove it."""
        return finding.settled and (self._has_row(finding.pool) or _has_transcript(finding))

    def _has_row(self, pool: VerifiedEmitter | None) -> bool:
        """Whether a row proves it."""
        factory = self._factories.get(_hex(pool.factory)) if pool is not None else None
        return pool is not None and factory is not None and _by_address(factory) and len(pool.pool) == ADDRESS_BYTES

    def append(self, findings: Iterable[Finding], genesis: bytes = bytes(32)) -> None:
        """Add pools whose tokens have said what they are; the others are asked again after a restart.

        Raises:
            OSError: the disk refuses; what is missing is asked again after a restart.
        """
        rows = [self._line(finding, _hex(genesis)) for finding in findings if self.keeps(finding)]
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

    def _line(self, finding: Finding, genesis: str) -> bytes:
        """Of a pool that is kept."""
        pool, basis = finding.pool, finding.basis
        assert pool is not None
        if not self._has_row(pool):
            assert basis is not None
            return msgspec.json.encode(_transcript(self._chain_id, genesis, finding, basis))
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
            genesis=genesis,
        )
        return msgspec.json.encode(row)


def _is_ours(status: os.stat_result) -> bool:
    """Whether nobody else may write a file."""
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _has_transcript(finding: Finding) -> bool:
    """Whether a transcript proves it: not with an answer that no honest contract gives."""
    if finding.basis is None or not all(token.settled for _, token in finding.coins):
        return False
    return not any(isinstance(answer, str) and is_long(answer) for _, answer in finding.basis.answers)


def _transcript(chain_id: int, genesis: str, finding: Finding, basis: ProofBasis) -> Transcript:
    pool = finding.pool
    assert pool is not None
    tokens = {pool.token0: finding.token0, pool.token1: finding.token1, **dict(finding.coins)}
    return Transcript(
        chain_id=chain_id,
        key=basis.key,
        protocols=basis.protocols,
        answers=tuple(
            KeptAnswer(*question, answer if isinstance(answer, str) else None) for question, answer in basis.answers
        ),
        heard=tuple(
            KeptLog(tuple(topic.lower() for topic in log.topics if topic), log.data or "0x") for log in basis.heard
        ),
        tokens=tuple(KeptToken(_hex(coin), token.decimals, token.symbol) for coin, token in tokens.items()),
        genesis=genesis,
    )


def _basis_of(kept: Transcript) -> ProofBasis:
    answers = tuple(
        (Question(one.to, one.data, one.words), one.answer if one.answer is not None else REVERTED)
        for one in kept.answers
    )
    heard = tuple(Log(address_of(kept.key), log.topics, log.data) for log in kept.heard)
    return ProofBasis(kept.key, kept.protocols, answers, heard)


def _what_is_wrong(row: Row, factory: Factory) -> Wrong | None:
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
        if not _is_symbol(symbol):
            return "symbol", _wrong_symbol(name, symbol)
    return None


def _is_symbol(symbol: str) -> bool:
    return len(symbol.encode(errors="replace")) <= SYMBOL_BYTES and is_shown(symbol)


def _wrong_symbol(name: str, symbol: str) -> str:
    return f"expected at most {SYMBOL_BYTES} printable bytes as {name}, found {symbol[:40]!r}"


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
    said = {pool.token0: Token(row.decimals0, row.symbol0), pool.token1: Token(row.decimals1, row.symbol1)}
    return CachedPool(pool, said)


def _by_address(factory: Factory) -> bool:
    """Whether the address of its pools follows from what a row holds."""
    functions = factory.kind.proof.functions
    return factory.init_code_hash is not None and set(functions) <= {"fee()"}


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
