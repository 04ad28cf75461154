"""The page's files: what they are called, what they are, and the digest that names this build of them.

Owns the files in `assets`, read once; a path that is none of theirs has no file, whatever it spells.
"""

from __future__ import annotations

from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "txt": "text/plain; charset=utf-8",
    "LICENSE": "text/plain; charset=utf-8",
}
"""By what stands behind the last dot of a name."""
INDEX = "index.html"
BUILD_MARK = b'<meta name="build" content="">'
"""In the index: the digest is put there, so that a page knows of which build it is."""


class PageFile(NamedTuple):
    """One file as it is sent."""

    content: bytes
    content_type: str


class Page:
    """The files below a folder, by their paths there."""

    def __init__(self, folder: Traversable | None = None) -> None:
        found = dict(sorted(contents(folder or files("tools.dashboard") / "assets")))
        digest = blake2b(digest_size=8)
        for path, content in found.items():
            digest.update(f"{path} {len(content)} ".encode() + content)
        self.build = digest.hexdigest()
        """Changes with any byte of any file."""
        if INDEX in found:
            found[INDEX] = found[INDEX].replace(BUILD_MARK, BUILD_MARK.replace(b'""', f'"{self.build}"'.encode()))
        self._files = {
            path: PageFile(content, CONTENT_TYPES[path.rpartition(".")[2]]) for path, content in found.items()
        }

    def get(self, path: str) -> PageFile | None:
        """The file at a path, None if there is none."""
        return self._files.get(path)


def contents(folder: Traversable, above: str = "") -> list[tuple[str, bytes]]:
    """Path and content of every file below a folder of which this build knows what it is."""
    found = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir():
            found += contents(entry, f"{above}{entry.name}/")
        elif entry.name.rpartition(".")[2] in CONTENT_TYPES:
            found.append((above + entry.name, entry.read_bytes()))
    return found
