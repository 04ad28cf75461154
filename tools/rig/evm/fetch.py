"""Fetches every node, contract and token list now, so that tests start with them: `python -m tools.rig.evm.fetch`."""

from __future__ import annotations

import sys

from tools.rig.evm.javascript import installed_nodes
from tools.rig.evm.packages import PACKAGES, path_of
from tools.rig.token_lists import LISTS


def main() -> None:
    """Fetch what is missing, and say what there is."""
    for package in (*PACKAGES, *(token_list.package for token_list in LISTS)):
        path_of(package, package.members[0])
        print(f"  {package.spec}", file=sys.stderr)
    print(f"  hardhat and ganache in {installed_nodes()}", file=sys.stderr)


if __name__ == "__main__":
    main()
