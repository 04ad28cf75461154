"""How a log is turned into the name of its pool, where its arguments name it: one function an event, made once.

Owns the fast form: for a log of the event's shape, as it spells its digits; another one raises, or gets a text that
names nothing.  What a name is: `producers.kinds.emitter_key`.  Written out for the shapes that there are, since it
is called for every log of such events: 0.2 to 0.3 us each, where a loop takes 0.5 to 0.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producers.kinds.events import NamePlace
    from producers.node.rpc_types import Log

Speller = Callable[["Log"], str]
WORD_DIGITS = 64
MOST_COINS = 16


def speller(places: Sequence[NamePlace]) -> Speller:
    """The function that reads these places, in their order, behind the emitter's address.

    It raises LookupError or TypeError for a log that lacks one, or that has an index which is none.
    """
    if all(place.front for place in places) and not any(place.topic for place in places) and len(places) == 2:
        return _two_indices(*places)
    if not any(place.front for place in places):
        if all(place.topic for place in places):
            return _in_topics(places)
        if not any(place.topic for place in places) and len(places) == 2:
            return _two_in_data(*places)
    return _anywhere(places)


def _two_indices(first: NamePlace, second: NamePlace) -> Speller:
    words = [slice(place.end - WORD_DIGITS, place.end) for place in (first, second)]
    coins = [{f"{index:064x}": f"{place.front}{index:x}" for index in range(MOST_COINS)} for place in (first, second)]
    (word0, word1), (coin0, coin1) = words, coins

    def spell(log: Log) -> str:
        data: Any = log.data
        return f"{log.address}{coin0[data[word0]]}{coin1[data[word1]]}"

    return spell


def _two_in_data(first: NamePlace, second: NamePlace) -> Speller:
    part0, part1 = (slice(place.begin, place.end) for place in (first, second))

    def spell(log: Log) -> str:
        data: Any = log.data
        return f"{log.address}{data[part0]}{data[part1]}"

    return spell


def _in_topics(places: Sequence[NamePlace]) -> Speller:
    at = [place.topic for place in places]
    parts = [slice(place.begin, place.end) for place in places]
    if len(places) == 3:
        (at0, at1, at2), (part0, part1, part2) = at, parts

        def spell_three(log: Log) -> str:
            topics: Any = log.topics
            return f"{log.address}{topics[at0][part0]}{topics[at1][part1]}{topics[at2][part2]}"

        return spell_three
    if len(places) == 2:
        (at0, at1), (part0, part1) = at, parts

        def spell_two(log: Log) -> str:
            topics: Any = log.topics
            return f"{log.address}{topics[at0][part0]}{topics[at1][part1]}"

        return spell_two
    ((only, part),) = zip(at, parts, strict=True)

    def spell_one(log: Log) -> str:
        topics: Any = log.topics
        return f"{log.address}{topics[only][part]}"

    return spell_one


def _anywhere(places: Sequence[NamePlace]) -> Speller:
    coins = {f"{index:064x}": f"{index:x}" for index in range(MOST_COINS)}

    def spell(log: Log) -> str:
        texts = [log.address]
        for topic, begin, end, front in places:
            text: Any = log.topics[topic] if topic else log.data
            texts.append(front + coins[text[end - WORD_DIGITS : end]] if front else text[begin:end])
        return "".join(texts)

    return spell
