"""The folders of the recordings that are shipped with the project.

`data/PROVENANCE.md` says where every file comes from, under which licence, and what was proved about it.
"""

from importlib.resources import files
from pathlib import Path

RECORDED = ("polygon", "ethereum")
"""The bundled chains of which a recording is shipped."""


def bundled_recording(chain: str = "polygon") -> Path:
    """The bundled folder of `chain`: `polygon` (three recorded sessions) or `ethereum` (twelve whole blocks)."""
    return Path(str(files("tools.recording") / "data" / chain))
