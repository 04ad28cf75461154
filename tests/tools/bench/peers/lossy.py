"""A transport that loses a frame now and then."""

from __future__ import annotations

from itertools import count
from typing import Any

from tools.bench.peers.ends import Content, ReceivingEnd, TurnSetting
from tools.bench.peers.transports import mp_pipe

EACH = 1100
"""In the first block that is timed, some strides before its end."""


def receiver(made: Any, setting: TurnSetting, index: int) -> ReceivingEnd:
    """Passes over each frame of that number."""
    real = mp_pipe.receiver(made, setting, index)
    number = count(1)

    def one() -> Content:
        if next(number) % EACH == 0:
            real.one()
        return real.one()

    return real._replace(one=one)


TRANSPORT = mp_pipe.TRANSPORT._replace(name="lossy", receiver=receiver)
