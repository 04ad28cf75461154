"""Where the console scripts begin, before anything is imported.

Owns what Ctrl-C does while no command runs: it ends the process, as one that has no handler.  An exception would come
out of whatever is being imported, or be swallowed there.
"""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Entry point of `alphapulse`."""
    interrupts_end()
    from tools.command.main import main as run

    run()


def ringstat() -> NoReturn:
    """Entry point of `ringstat`."""
    interrupts_end()
    from tools.ringstat import main as run

    run()


def interrupts_end() -> None:
    """From here on Ctrl-C ends the process; not if it is ignored, as behind `nohup`, or somebody handles it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupts_raise() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
