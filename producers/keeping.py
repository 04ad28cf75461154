"""What a collector keeps in files: verified pools, where to resume, statistics.

Owns when and what is written; `producers.disk` writes it, since the loop waits for no disk.  It must never decide
where a collector resumes: `producers.blocks.resume` does.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from pathlib import Path

import msgspec

from producers.blocks.state_file import Position, load, save
from producers.chains.configuration import ChainConfig
from producers.disk import DiskThread, replace_file
from producers.feed import Feed
from producers.pools.cache import CachedPools, PoolCache
from producers.statistics import Statistics

log = logging.getLogger("alphapulse.collector")

SAVES_BEHIND = 3
"""The file says where the collector was so many saves before, each a second or more: a recorder forces its journal to
the disk every second, so what a power cut takes of it is told again."""


class Keeping:
    """The files of one collector; None = not kept."""

    def __init__(
        self, chain: ChainConfig, pool_cache: Path | None, state_file: Path | None, stats_file: Path | None
    ) -> None:
        self.disk = DiskThread()
        self._chain, self._state_file, self._stats_file = chain, state_file, stats_file
        self._cache = PoolCache(pool_cache, chain) if pool_cache is not None else None
        self._cache_path = pool_cache
        self._positions: deque[Position] = deque(maxlen=SAVES_BEHIND + 1)

    def load_pools(self) -> CachedPools:
        """The pools that were verified before."""
        cached = self._cache.load() if self._cache is not None else CachedPools()
        log.info("%d pools known", len(cached))
        if cached.refused:
            found = {"cache": self._cache_path, "count": cached.refused.total(), "refused": cached.first_refused}
            text = "pool cache %(cache)s: %(count)d lines are not used, the first is %(refused)s"
            log.warning(text, found)
        return cached

    def load_position(self) -> Position | None:
        """Where an earlier collector was."""
        if self._state_file is None:
            return None
        return load(self._state_file, self._chain.chain_id, self._chain.genesis)

    def position(self, feed: Feed, ring_uuid: bytes) -> Position | None:
        """Where another collector can go on: the last block of which everything was published."""
        safe = feed.safe_block
        return None if safe is None else Position.of(self._chain.chain_id, safe, feed.genesis, ring_uuid)

    def save_pools(self, feed: Feed) -> None:
        """Those that were verified since the last call."""
        verified, cache = feed.verified(), self._cache
        kept = [finding for finding in verified if cache is not None and cache.keeps(finding)]
        if kept and cache is not None:
            self.disk.write("pool cache", partial(cache.append, kept, feed.genesis))

    def save(self, feed: Feed, ring_uuid: bytes, statistics: Statistics, *, ending: bool = False) -> None:
        """Have the state and the statistics written, whenever the disk gets to it: the statistics of now, the state of
        SAVES_BEHIND saves before, or of now if the collector is `ending`.
        """
        position = self.position(feed, ring_uuid)
        if self._state_file is not None and position is not None:
            self._positions.append(position)
            chosen = position if ending else self._positions[0]
            self.disk.write("state file", partial(save, self._state_file, chosen))
        if self._stats_file is not None:
            content = msgspec.json.encode(statistics.to_dict())
            self.disk.write("statistics", partial(replace_file, self._stats_file, content, durable=False))
