"""A child process that ends when the process that started it ends, however that happened.

A supervisor that is killed with SIGKILL cannot stop its children.  So each child asks the kernel for a signal at its
parent's death (prctl PR_SET_PDEATHSIG), and checks afterwards that the parent is still the one that started it: it may
have died in between.  Knows neither commands nor rings.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import MutableMapping

PARENT_VARIABLE = "ALPHAPULSE_PARENT_PID"
PR_SET_PDEATHSIG = 1


def request_death_signal() -> None:
    """Let the kernel send SIGTERM to this process when its parent dies.  As `preexec_fn`, for programs not ours."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def die_with_parent(environment: MutableMapping[str, str]) -> None:
    """Ask for SIGTERM when the parent dies, if `environment` has a supervisor's pid; else do nothing.

    The pid is removed from `environment`: a grandchild has another parent.
    """
    parent = environment.pop(PARENT_VARIABLE, "")
    if not parent.isdigit():
        return
    request_death_signal()
    if os.getppid() != int(parent):
        sys.exit(0)
