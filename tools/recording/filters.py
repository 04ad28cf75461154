"""The log filter of `eth_subscribe` and `eth_getLogs`.

Owns which logs a filter lets through, as geth does it: any of the addresses, and at each topic position any of the
alternatives, where null or an empty list stands for everything.  A log with fewer topics than the filter is out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

AnyCaseHash = Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{64}\Z")]
AnyCaseAddress = Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{40}\Z")]
BlockTag = Annotated[
    str, Meta(pattern=r"^(0x(0|[1-9a-fA-F][0-9a-fA-F]{0,15})|latest|pending|earliest|safe|finalized)\Z")
]


class FilterParams(Struct, frozen=True, rename="camel"):
    """The filter object of a request, as clients send it."""

    address: AnyCaseAddress | list[AnyCaseAddress] | None = None
    topics: Annotated[list[AnyCaseHash | list[AnyCaseHash | None] | None], Meta(max_length=4)] | None = None
    block_hash: AnyCaseHash | None = None
    from_block: BlockTag | None = None
    to_block: BlockTag | None = None


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which logs a request or a subscription wants; None stands for everything."""

    addresses: frozenset[str] | None
    topics: tuple[frozenset[str] | None, ...]

    def matches(self, address: str, topics: Sequence[str]) -> bool:
        """Whether a log of `address` with `topics` passes."""
        if self.addresses is not None and address not in self.addresses:
            return False
        if len(self.topics) > len(topics):
            return False
        return all(wanted is None or topic in wanted for wanted, topic in zip(self.topics, topics, strict=False))


def log_filter(params: FilterParams) -> LogFilter:
    """The filter that `params` describe, with every hex string in lower case."""
    return LogFilter(
        addresses=_alternatives(params.address), topics=tuple(_alternatives(topic) for topic in params.topics or ())
    )


def _alternatives(wanted: str | Sequence[str | None] | None) -> frozenset[str] | None:
    if wanted is None or isinstance(wanted, str):
        return None if wanted is None else frozenset((wanted.lower(),))
    named = [one.lower() for one in wanted if one is not None]
    return frozenset(named) if named and len(named) == len(wanted) else None
