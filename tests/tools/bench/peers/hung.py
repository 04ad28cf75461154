"""A transport whose receivers never return: for a peer that hangs."""

from __future__ import annotations

import signal
from typing import Any

from tools.bench.peers.ends import Content, ReceivingEnd, TurnSetting
from tools.bench.peers.transports import mp_pipe


def receiver(made: Any, setting: TurnSetting, index: int) -> ReceivingEnd:
    """Receives nothing, for ever."""

    def one() -> Content:
        while True:
            signal.pause()

    return mp_pipe.receiver(made, setting, index)._replace(one=one)


TRANSPORT = mp_pipe.TRANSPORT._replace(name="hung", receiver=receiver)
