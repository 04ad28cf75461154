"""The journal of a market that is shipped with the project.

`data/PROVENANCE.md` says which command made it, of what, and the checksums of its files.
"""

from importlib.resources import files
from pathlib import Path

JOURNAL = "journal"


def bundled_market_journal() -> Path:
    """The folder of the bundled journal: ten minutes of a market on a local node."""
    return Path(str(files("tools.market") / "data" / JOURNAL))
