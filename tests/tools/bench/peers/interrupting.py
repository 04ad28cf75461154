"""A transport that sends Ctrl-C to the process that made it, as soon as three readers are to be served."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tools.bench.peers.ends import SendingEnd, TurnSetting
from tools.bench.peers.transports import mp_pipe


def make(folder: Path) -> tuple[int, mp_pipe.Pipes]:
    """Whose turn it is, and the pipes."""
    return os.getpid(), mp_pipe.make(folder)


def sender(made: tuple[int, mp_pipe.Pipes], setting: TurnSetting) -> SendingEnd:
    """A sender in turns with one reader."""
    if setting.readers > 1:
        os.kill(made[0], signal.SIGINT)
    return mp_pipe.sender(made[1], setting)


def receiver(made: tuple[int, mp_pipe.Pipes], setting: TurnSetting, index: int) -> Any:
    """As of a pipe."""
    return mp_pipe.receiver(made[1], setting, index)


def clean(made: tuple[int, mp_pipe.Pipes]) -> None:
    """As of a pipe."""
    mp_pipe.clean(made[1])


TRANSPORT = mp_pipe.TRANSPORT._replace(name="interrupting", make=make, sender=sender, receiver=receiver, clean=clean)
