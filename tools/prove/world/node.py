"""One endpoint of the world: backends behind one URL, what they answer and what they push.

Owns connections, the choice of a backend for each question, and pushes.  What is true: `tools.prove.world.backend`;
what is said instead: `tools.prove.world.answers`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import msgspec

from tlv.units import MS, NS
from tools.prove.world.answers import MUCH, Liar
from tools.prove.world.backend import Result, Timeline, View
from tools.prove.world.chain import Mined
from tools.prove.world.clock import Agenda
from tools.prove.world.faults import FaultPlan
from tools.prove.world.network import Wire
from tools.prove.world.pushes import Pushes
from tools.prove.world.refusals import WORDINGS, Refused
from tools.prove.world.spelling import Spelling

MESSAGE_TOO_BIG = 1009
ALLOWED = 10
"""Requests in a second, where they are limited."""
USELESS = ("mute", "pushes_only", "refuses_all", "frozen", "unreachable", "closes_at_once")
"""Ways in which an endpoint can be of no use."""


class WorldNode:
    """What a URL leads to."""

    def __init__(
        self,
        agenda: Agenda,
        timeline: Timeline,
        chain_id: int,
        faults: FaultPlan,
        seed: str,
        tell: Callable[[str], None],
    ) -> None:
        self.useless: str | None = None
        """In which way it is of no use, for ever."""
        self.renumbered = False
        """Its log indices begin anew in each transaction."""
        self.requests = 0
        self._agenda, self._timeline, self._chain_id, self._faults = agenda, timeline, chain_id, faults
        self._tell = tell
        self._rng = Random(seed)
        self._liar = Liar(faults)
        self._spelling = Spelling(Random(f"{seed}:spelling"))
        self._lags = [0]
        if "lag" in faults:
            self._lags = [0, *(faults.rng("lag").randrange(5 * NS) for _ in range(faults.rng("lag").randrange(1, 3)))]
        self._pushes = Pushes(agenda, faults, self._rng, tell, self._spell)
        self._wires: list[Wire] = []
        self._names = 0
        self._recent: list[int] = []
        self.plan_breaks()

    def plan_breaks(self) -> None:
        """Note when connections close and stall and subscriptions die, in the windows of the fault plan."""
        agenda, faults = self._agenda, self._faults
        for window in faults.windows("close"):
            for _ in range(faults.rng("close").randrange(1, 4)):
                agenda.at(faults.rng("close").randrange(window.begin_ns, window.end_ns + 1), self._close_all)
        for window in faults.windows("stall"):
            agenda.at(window.begin_ns, partial(self._stall_all, faults.rng("stall").choice((2, 8, 30)) * NS))
        for kind in ("dead_logs", "dead_heads"):
            for window in faults.windows(kind):
                agenda.at(window.begin_ns, partial(self._kill_subscriptions, kind))

    def connect(self, on_frames: Callable[[list[bytes]], None], on_close: Callable[[int], None]) -> Wire | None:
        """A connection; None if it is refused."""
        useless = self.useless
        if useless == "unreachable" or self._faults.strikes("refuse_connection", self._agenda.now_ns):
            self._tell("connection refused")
            return None
        wire = Wire(self._agenda, self._rng, on_frames, on_close)
        if useless == "closes_at_once":
            self._agenda.after(20 * MS, partial(wire.close, 1000))
        self._wires = [*(known for known in self._wires if known.open), wire]
        return wire

    def receive(self, wire: Wire, frame: bytes) -> None:
        """A request, or an array of them."""
        asked = msgspec.json.decode(frame)
        if isinstance(asked, list) and self._faults.strikes("no_batches", self._agenda.now_ns):
            self._send(
                wire, self._text(0, Refused(-32600, "batch requests are not supported")).replace('"id":0', '"id":null')
            )
            return
        if isinstance(asked, list):
            answers = [self._answer(wire, request) for request in asked]
            if all(answer is not None for answer in answers):
                self._send(wire, f"[{','.join(str(answer) for answer in answers)}]")
            return
        answer = self._answer(wire, asked)
        if answer is not None:
            self._send(wire, answer)

    def move(self, dropped: list[Mined], adopted: list[Mined]) -> None:
        """The chain has another head."""
        lag_ns = self._lag(0) if self._faults.strikes("lag", self._agenda.now_ns) else 0
        if self.useless in ("mute", "refuses_all") or self._stands_since() is not None:
            return
        for wire in self._wires:
            if wire.open and wire.subscriptions:
                if lag_ns:
                    self._agenda.after(lag_ns, partial(self._pushes.push, wire, dropped, adopted))
                else:
                    self._pushes.push(wire, dropped, adopted)

    def deaf(self, topics: set[str]) -> set[str]:
        """Of `topics`, those of which a collector that is connected hears nothing and never will."""
        found = set()
        for wire in self._wires:
            if wire.open and wire.subscriptions:
                heard = {about for name, about in wire.subscriptions.items() if name not in wire.dead}
                found |= topics - heard
        return found

    # Answers

    def _answer(self, wire: Wire, request: dict[str, Any]) -> str | None:
        """The text of an answer; None if none comes, or it is sent by itself."""
        self.requests += 1
        method, params, now_ns = request["method"], request.get("params", []), self._agenda.now_ns
        useless = self.useless
        if useless in ("mute", "pushes_only") and not (useless == "pushes_only" and method == "eth_subscribe"):
            return None
        if method == "eth_subscribe":
            return self._text(request["id"], self._subscribe(wire, params))
        if method == "eth_unsubscribe":
            return self._text(request["id"], "true" if wire.subscriptions.pop(params[0], None) else "false")
        if useless == "refuses_all" and method != "eth_chainId":
            return self._text(request["id"], WORDINGS["transient"][2])
        view = self._view()
        if not self._allows():
            self._tell(f"{method}: more than {ALLOWED} requests in a second")
            return self._text(request["id"], self._faults.rng("rate_limited").choice(WORDINGS["rate"]))
        lie = self._liar.instead(method, params, view, now_ns)
        if lie is not None:
            self._tell(f"{method} {_brief(params)}: {lie[0]}: {str(lie[1])[:60]}")
        result = lie[1] if lie is not None else view.answer(method, params)
        if self.renumbered and method == "eth_getLogs" and isinstance(result, str):
            result = _renumbered(result)
        return self._spoil(wire, request["id"], method, result)

    def _allows(self) -> bool:
        """Whether the rate limit lets one more request pass."""
        now_ns = self._agenda.now_ns
        if not self._faults.strikes("rate_limited", now_ns):
            return True
        self._recent = [at for at in self._recent if now_ns - at < NS]
        if len(self._recent) >= ALLOWED:
            return False
        self._recent.append(now_ns)
        return True

    def _spoil(self, wire: Wire, request_id: int, method: str, result: Result) -> str | None:
        """What of an answer that is right in itself goes wrong on its way."""
        now_ns, faults = self._agenda.now_ns, self._faults
        text = self._text(request_id, result)
        if method == "eth_getLogs" and text.count('"address"') > MUCH and faults.strikes("huge", now_ns):
            self._tell(f"{method}: the answer is too large: 1009")
            self._agenda.after(5 * MS, partial(wire.close, MESSAGE_TOO_BIG))
            return None
        if faults.strikes("mute", now_ns):
            self._tell(f"{method}: no answer")
            return None
        if faults.strikes("garbled", now_ns):
            self._tell(f"{method}: garbled")
            return text[: len(text) // 2]
        if faults.strikes("late", now_ns):
            self._tell(f"{method}: late")
            wire.send(self._spell(text), self._faults.rng("late").randrange(1, 8) * NS, in_order=False)
            return None
        if faults.strikes("doubled", now_ns):
            self._send(wire, text)
        return text

    def _text(self, request_id: int, result: Result) -> str:
        if isinstance(result, Refused):
            error = msgspec.json.encode({"code": result.code, "message": result.message}).decode()
            return f'{{"jsonrpc":"2.0","id":{request_id},"error":{error}}}'
        return f'{{"jsonrpc":"2.0","id":{request_id},"result":{result}}}'

    def _spell(self, text: str) -> bytes:
        if self._faults.strikes("spelling", self._agenda.now_ns):
            text = self._spelling.of(text)
        return text.encode()

    def _send(self, wire: Wire, text: str) -> None:
        wire.send(
            self._spell(text),
            self._rng.randrange(1, 30) * MS + self._faults.delay_ns(self._agenda.now_ns),
            in_order=False,
        )

    def _view(self) -> View:
        now_ns = self._agenda.now_ns
        lag_ns = self._lag(self._rng.randrange(len(self._lags))) if self._faults.strikes("lag", now_ns) else 0
        since_ns = self._stands_since()
        if since_ns is not None:
            return View(self._timeline, self._chain_id, since_ns)
        return View(self._timeline, self._chain_id, now_ns - lag_ns)

    def _stands_since(self) -> int | None:
        """Since when it knows of nothing new; None while it follows the chain."""
        if self.useless == "frozen":
            return 0
        window = self._faults.window("standstill", self._agenda.now_ns)
        return window.begin_ns if window is not None else None

    def _lag(self, backend: int) -> int:
        return self._lags[backend]

    # Pushes

    def _subscribe(self, wire: Wire, params: list[Any]) -> Result:
        if params[0] not in ("logs", "newHeads"):
            return WORDINGS["transient"][1]
        self._names += 1
        name = f"0x{self._names:x}f{self._rng.getrandbits(64):016x}"
        wire.subscriptions[name] = params[0]
        return f'"{name}"'

    # What happens to connections

    def _close_all(self) -> None:
        code = self._faults.rng("close").choice((1000, 1001, 1006, 1011, 1012, 1013))
        for wire in self._wires:
            if wire.open:
                self._tell(f"closed: {code}")
                wire.close(code)

    def _stall_all(self, length_ns: int) -> None:
        self._tell(f"stalled for {length_ns / NS:.0f} s")
        for wire in self._wires:
            wire.stall(self._agenda.now_ns + length_ns)

    def _kill_subscriptions(self, kind: str) -> None:
        topic = "logs" if kind == "dead_logs" else "newHeads"
        for wire in self._wires:
            for name, about in wire.subscriptions.items():
                if about == topic:
                    self._tell(f"the subscription of {topic} is dead")
                    wire.dead.add(name)
                    if wire.open and self._faults.rng(kind).random() < 0.3:
                        error = Refused(-32000, "subscription closed: no activity")
                        wire.send(self._text(-1, error).encode())


def _renumbered(logs: str) -> str:
    """Each transaction's logs begin at 0."""
    seen: dict[str, int] = {}
    listed = msgspec.json.decode(logs) or []
    for log in listed:
        index = seen.get(log["transactionHash"], 0)
        seen[log["transactionHash"]] = index + 1
        log["logIndex"] = hex(index)
    return msgspec.json.encode(listed).decode()


def _brief(params: list[Any]) -> str:
    return " ".join(str(part)[:70] for part in params)
