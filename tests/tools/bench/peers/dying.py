"""A transport whose receivers die after a while, so that nothing of them is closed."""

from __future__ import annotations

import os
import signal
from typing import Any

from tools.bench.peers.ends import Content, ReceivingEnd, TurnSetting
from tools.bench.peers.transports import mp_pipe

FRAMES = 1500


def receiver(made: Any, setting: TurnSetting, index: int) -> ReceivingEnd:
    """Receives so many frames."""
    real = mp_pipe.receiver(made, setting, index)
    left = iter(range(FRAMES))

    def one() -> Content:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return real.one()

    return real._replace(one=one)


TRANSPORT = mp_pipe.TRANSPORT._replace(name="dying", receiver=receiver)
