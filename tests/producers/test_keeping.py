"""What a collector writes, of the files that it was told to keep."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from producers.chains.configuration import load_chain
from producers.feed import Feed
from producers.keeping import SAVES_BEHIND, Keeping
from tests.producers.virtual import Conversation, new_feed


def feed_at(step: int) -> Feed:
    """A feed that took so many steps of the recording; 0: it has not connected yet."""
    conversation = Conversation(new_feed())
    if step:
        conversation.connect()
    for _ in range(step):
        conversation.step()
    return conversation.feed


@pytest.mark.parametrize("step", [0, 12])
def test_collector_writes_its_state_once_there_is_one_and_no_file_that_it_was_not_told(
    step: int, tmp_path: Path
) -> None:
    feed = feed_at(step)
    assert (feed.safe_block is None) == (step == 0)
    state, stats = tmp_path / "state.json", tmp_path / "stats.json"
    for state_file, stats_file in ((None, None), (None, stats), (state, None), (state, stats)):
        keeping = Keeping(load_chain("polygon"), None, state_file, stats_file)
        keeping.save(feed, bytes(16), feed.count())
        keeping.save_pools(feed)
        keeping.disk.close()
        assert keeping.disk.failures == 0
        wanted = {stats_file, state_file if feed.safe_block is not None else None} - {None}
        assert set(tmp_path.iterdir()) == wanted
        for path in tmp_path.iterdir():
            path.unlink()


def test_state_is_of_some_saves_before_and_of_now_at_the_end(tmp_path: Path) -> None:
    conversation = Conversation(new_feed())
    conversation.connect()
    path = tmp_path / "state.json"
    keeping = Keeping(load_chain("polygon"), None, path, None)
    reached: list[int] = []
    while len(set(reached)) < 3 * SAVES_BEHIND:
        conversation.step()
        position = keeping.position(conversation.feed, bytes(16))
        if position is not None:
            reached.append(position.number)
            keeping.save(conversation.feed, bytes(16), conversation.feed.count())
            while keeping.disk.busy:
                pass
            assert number_in(path) == reached[max(len(reached) - 1 - SAVES_BEHIND, 0)]
    assert number_in(path) < reached[-1]
    keeping.save(conversation.feed, bytes(16), conversation.feed.count(), ending=True)
    keeping.disk.close()
    assert number_in(path) == reached[-1]


def number_in(path: Path) -> int:
    return int(msgspec.json.decode(path.read_bytes())["number"])
