"""A handler that never returns: nothing can interrupt machine code, so its process is ended, and says where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ringbuf import Writer
from tests.consumers.recorded_market import canonical_frames
from tlv.layout import LAYOUT_DIGEST

ROOT = Path(__file__).parents[3]
STUCK = """
import sys
import numpy as np
from consumers.host import run_strategy
from consumers.native import NativeStrategy
from tlv.jit import kernel

class Stuck(NativeStrategy):
    name = "stuck"
    state = np.dtype([("seen", "<i8")])

    @kernel
    def handler(state, frame, drafts):
        while state["seen"] >= 0:
            state["seen"] = state["seen"] + 1 & 1023

run_strategy(Stuck(), ring=sys.argv[1], signals=sys.argv[2], handler_limit_s=0.1)
"""


def test_native_handler_that_never_returns_ends_its_process_and_harms_no_ring(
    tmp_path: Path, new_ring_name: Callable[[], str]
) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    market_name, signals_name = new_ring_name(), new_ring_name()
    with Writer.create(market_name, layout_digest=LAYOUT_DIGEST) as market:
        _, _, frame = canonical_frames()[0]
        market.publish(frame)
        done = subprocess.run(
            [sys.executable, str(script), market_name, signals_name],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == -signal.SIGPROF
        assert "in step" in done.stderr and str(script) in done.stderr
        assert market.publish(frame) == 2
    with Writer.open(signals_name) as signals:
        assert signals.publish(b"the next writer's") == 1
