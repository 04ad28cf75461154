"""The REMOVED copies that a Reorg owes: newest event first, and at last none of them open.

Owns what is still to come, and what was passed over: an event that a restart could not read any more is left out, and a
Gap must stand for it before anything else is published.  It must never know a message.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

Identity = tuple[str, str, int]
"""Block hash, transaction hash, log index."""


class Removals:
    """What the newest Reorg owes."""

    def __init__(self) -> None:
        self._to_come: list[Identity] = []
        """The next one last."""
        self._passed_over: set[Identity] = set()

    def __len__(self) -> int:
        return len(self._to_come) + len(self._passed_over)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._to_come or identity in self._passed_over

    def expect(self, identities: Iterable[Identity]) -> None:
        """These are owed, oldest first; whatever was owed before is not."""
        self._to_come = list(identities)
        self._passed_over.clear()

    def take(self, identity: Identity) -> bool:
        """One of them came; whether that is in order."""
        if identity in self._passed_over:
            self._passed_over.remove(identity)
            return False
        while (passed_over := self._to_come.pop()) != identity:
            self._passed_over.add(passed_over)
        return True

    def keep(self, standing: Container[Identity]) -> None:
        """Only these are owed any more."""
        self._to_come = [identity for identity in self._to_come if identity in standing]
        self._passed_over = {identity for identity in self._passed_over if identity in standing}
