"""What an endpoint pushes to its subscribers: heads and logs of new blocks, lost, doubled, late, garbled, or made up.

Owns the frames of a subscription and their order.  Which blocks are new: `tools.prove.world.node`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from random import Random

from tlv.units import MS, NS
from tools.prove.world.chain import Emitted, Mined, shows_loss
from tools.prove.world.clock import Agenda
from tools.prove.world.faults import FaultPlan
from tools.prove.world.network import Wire

NONSENSE = (
    ("hash", '"0x1234"'),
    ("hash", '"0x' + "zz" * 32 + '"'),
    ("number", '"0x8000000000000000"'),
    ("number", '"0xfffffffffff"'),
    ("number", '"0x' + "f" * 64 + '"'),
    ("number", "null"),
    ("parentHash", '"0x00"'),
    ("timestamp", '"0x1ffffffffffffffff"'),
    ("timestamp", '"soon"'),
    ("gasUsed", '"0x1' + "0" * 40 + '"'),
)
"""Members of a header that cannot be."""
NOBODYS = "0x" + "ee" * 32
"""A transaction of no block."""
TRANSACTION = re.compile(r'"transactionHash":"[^"]*"')
ADDED_EVERY = 16
"""Blocks: in these a chain may add logs, so that two transactions have one place; where it does, places say nothing."""


def _nonsense(header: str, rng: Random) -> str:
    """A header of which one member cannot be; of another hash, so that the true one still counts."""
    member, value = rng.choice(NONSENSE)
    made_up = re.sub(r'"hash":"[^"]*"', f'"hash":"0x{rng.getrandbits(256):064x}"', header)
    return re.sub(rf'"{member}":"[^"]*"', f'"{member}":{value}', made_up)


class Pushes:
    """The pushes of one endpoint."""

    def __init__(
        self,
        agenda: Agenda,
        faults: FaultPlan,
        rng: Random,
        tell: Callable[[str], None],
        spell: Callable[[str], bytes],
    ) -> None:
        self._agenda, self._faults, self._rng, self._tell, self._spell = agenda, faults, rng, tell, spell

    def push(self, wire: Wire, dropped: list[Mined], adopted: list[Mined]) -> None:
        """The chain has another head: `dropped`, newest first, left it, `adopted` joined it."""
        now_ns, faults = self._agenda.now_ns, self._faults
        if "removed_logs" in faults:
            for block in dropped:
                for log in reversed(block.logs):
                    text = log.text.replace('"removed":false', '"removed":true')
                    self._notify(wire, "logs", text)
        if len(adopted) > 1 and faults.strikes("tip_only", now_ns):
            self._tell(f"only the tip {adopted[-1].number} of {len(adopted)} blocks is pushed")
            adopted = adopted[-1:]
        if faults.strikes("close", now_ns) and faults.rng("close").random() < 0.3:
            self._agenda.after(faults.rng("close").randrange(1, 8) * MS, partial(wire.close, 1006))
        for block in adopted:
            order = self._rng.random()
            if order < 0.6:
                self._push_head(wire, block)
            logs = self._pushed_logs(block)
            if faults.strikes("shuffled_logs", now_ns):
                logs = faults.rng("shuffled_logs").sample(logs, len(logs))
            claimable = block.number % ADDED_EVERY != 0 and "state_sync" not in faults
            for log in logs:
                self._notify(wire, "logs", log.text, self._rng.randrange(3) * MS, claimed=claimable)
            if order >= 0.6:
                self._push_head(wire, block)

    def _push_head(self, wire: Wire, block: Mined) -> None:
        now_ns, faults = self._agenda.now_ns, self._faults
        text = block.header
        if faults.strikes("zero_bloom", now_ns):
            text = _with_bloom(text, '"0x' + "0" * 512 + '"')
        elif faults.strikes("no_bloom", now_ns):
            text = _with_bloom(text, "null")
        if faults.strikes("nonsense_heads", now_ns) and wire.true_heads:
            self._notify(wire, "newHeads", _nonsense(text, faults.rng("nonsense_heads")))
        if faults.strikes("lost_pushes", now_ns) and faults.rng("lost_pushes").random() < 0.3:
            self._tell(f"the head {block.number} is lost")
        elif faults.strikes("reordered_heads", now_ns):
            delay_ns = faults.rng("reordered_heads").randrange(3000) * MS
            self._tell(f"the head {block.number} comes {delay_ns / NS:.1f} s late")
            self._notify(wire, "newHeads", text, delay_ns, in_order=False)
        else:
            late = faults.strikes("late_heads", now_ns)
            self._notify(wire, "newHeads", text, faults.rng("late_heads").randrange(900) * MS if late else 0)
            wire.true_heads += 1

    def _pushed_logs(self, block: Mined) -> list[Emitted]:
        """The logs that are not lost, so that the loss can be noticed."""
        if not self._faults.strikes("lost_pushes", self._agenda.now_ns):
            return block.logs
        rng = self._faults.rng("lost_pushes")
        kept = [log for log in block.logs if rng.random() < 0.7]
        if len(kept) == len(block.logs) or not shows_loss(block, kept, bloom=self._faults.bloom_is_honest):
            return block.logs
        self._tell(f"{len(block.logs) - len(kept)} of {len(block.logs)} logs of {block.number} are lost")
        return kept

    def _notify(
        self,
        wire: Wire,
        topic: str,
        text: str,
        delay_ns: int = 0,
        *,
        in_order: bool = True,
        claimed: bool = False,  # another transaction may claim its place
    ) -> None:
        for name, about in wire.subscriptions.items():
            if about == topic and name not in wire.dead:
                frame = self._spell(_notice(name, text))
                whole = frame
                if self._faults.strikes("garbled_pushes", self._agenda.now_ns):
                    self._tell(f"a push of {topic} is garbled")
                    frame = frame[: self._faults.rng("garbled_pushes").randrange(len(frame))]
                wire.send(frame, delay_ns + self._faults.delay_ns(self._agenda.now_ns), in_order=in_order)
                if claimed and frame is whole and self._faults.strikes("claimed_places", self._agenda.now_ns):
                    self._tell("a log is pushed as another transaction's too")
                    wire.send(
                        self._spell(_notice(name, TRANSACTION.sub(f'"transactionHash":"{NOBODYS}"', text))), delay_ns
                    )
                if self._faults.strikes("doubled_pushes", self._agenda.now_ns):
                    wire.send(frame, delay_ns, in_order=in_order)


def _notice(subscription: str, text: str) -> str:
    params = f'{{"subscription":"{subscription}","result":{text}}}'
    return f'{{"jsonrpc":"2.0","method":"eth_subscription","params":{params}}}'


def _with_bloom(header: str, bloom: str) -> str:
    begin = header.index('"logsBloom":') + len('"logsBloom":')
    return header[:begin] + bloom + header[begin + 516 :]
