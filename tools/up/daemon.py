"""supervisord, as `alphapulse up` starts it: `python -m tools.up.daemon DIRECTORY CONFIG LOCK`.

Owns the process that the others are children of.  It has the lock from `up` as a descriptor, and the kernel frees it
when this process ends; each child is told this process's id, and asks for SIGTERM at its death.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path

from tools.command.parent import PARENT_VARIABLE, die_with_parent
from tools.up.run_directory import RunDirectory, Supervised


def main() -> None:
    """Run until every process is told to end."""
    directory, config, lock = sys.argv[1:]  # both absolute
    os.set_inheritable(int(lock), False)
    die_with_parent(os.environ)
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    place = RunDirectory(Path(directory))
    os.chdir(place.directory)
    place.introduce(Supervised(config, os.getpid(), datetime.now().astimezone().isoformat(" ", "seconds")))
    from supervisor import supervisord

    from tools.up import careful_log

    careful_log.use()
    try:
        supervisord.main(["-c", str(place.supervisord_conf)])
    finally:
        place.forget()


if __name__ == "__main__":
    main()
