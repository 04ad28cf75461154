"""The judgement of what a relay decides, against what journal and memory have.

no loss is told of what journal or ring has, or of what the recorder is about to write
nobody waits for a recorder that went on to a newer ring
a loss without a count is told only where nobody knows the end, or the order
"""

from __future__ import annotations

from collections.abc import Collection

from consumers.incarnations import Replaced
from tools.prove.delivery.world.findings import Findings
from tools.prove.delivery.world.journal import WorldJournal
from tools.prove.delivery.world.rings import RingName


class RelayOracle:
    """Judges the steps of all clients; what `recorded` is False for may not read the journal."""

    def __init__(self, name: RingName, journal: WorldJournal, findings: Findings) -> None:
        self._name, self._journal, self._findings = name, journal, findings
        self._left_out: dict[tuple[int, int, bool], set[int]] = {}
        """Of the steps that told no loss."""

    def lost(self, uuid: bytes, first: int, last: int, *, held: bool, recorded: bool) -> None:
        """A counted loss; `held` says that the ring has some of it."""
        kept = self._journal.has(uuid, first, last) if recorded else None
        if kept is not None:
            words = f"ring {self._number(uuid)}, {first} to {last}: the journal has {kept}"
            self._findings.break_rule("needless loss", words)
        if held:
            words = f"ring {self._number(uuid)}, {first} to {last}: the ring has some"
            self._findings.break_rule("needless loss", words)

    def impatient(self, uuid: bytes) -> None:
        """A loss of what the recorder is about to write, which was not waited for."""
        self._findings.break_rule("impatient", f"a loss of ring {self._number(uuid)}: the recorder still reads it")

    def waits(self, uuid: bytes, held: Collection[bytes]) -> None:
        """A client in ring `uuid` waits for the recorder."""
        segments = self._journal.segments
        at = segments[-1].uuid if segments else uuid
        known = uuid in self._journal.uuids() or {at, uuid} <= set(held)
        if known and self._number(at) > self._number(uuid):
            words = f"in ring {self._number(uuid)} for the recorder, which is in ring {self._number(at)}"
            self._findings.break_rule("waits in vain", words)

    def replaced(self, step: Replaced, held: Collection[bytes], *, recorded: bool) -> None:
        """A step to the next ring."""
        in_journal, in_memory = self._journal.uuids() if recorded else set(), set(held)
        known = {self._number(uuid) for uuid in in_journal | in_memory}
        old, new = self._number(step.old), self._number(step.new)
        if step.loss is None:
            self._left_out[old, new, recorded] = known & set(range(old + 1, new))
        ended = recorded and any(segment.ended for segment in self._journal.of(step.old))
        one_place = step.old in in_journal and (step.new in in_journal or step.old in in_memory)
        between = {uuid for uuid in in_memory - in_journal if self._number(uuid) > old}
        placeable = in_journal <= in_memory or (one_place and (step.new in in_memory or not between))
        if step.loss is not None and ended and placeable:
            self._findings.break_rule("needless loss", f"the journal has the end of ring {old}")

    def left_out(self, old: int, new: int, *, recorded: bool) -> set[int]:
        """The rings between the two that could be known when that step was decided, and were not told as lost."""
        return self._left_out.get((old, new, recorded), set())

    def _number(self, uuid: bytes) -> int:
        return self._name.of(uuid).number
