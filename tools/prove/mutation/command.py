"""`python -m tools.prove.mutation.command`: whether the tests notice when the code is changed.

Draws mutants of the four packages and runs, for each, the tests of its package and the fuzz tests, in a copy of the
tree, until one fails.  A mutant that fails none of them survives and is shown, unless `equivalent.toml` lists it as
equivalent to the original, with the reason.

Where a file with kernels is changed, kernels run as plain Python (NUMBA_DISABLE_JIT=1): the same lines, and a mutant
compiles nothing.  Else they are compiled, into a cache of this run: as plain Python the tests of producers take more
than 20 minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

import click

from tools.prove.mutation.sample import Mutant, draw

PACKAGES = ("tlv", "ringbuf", "producers", "consumers")
COPIED = (*PACKAGES, "tools", "tests", "pyproject.toml", "LAYOUT.md", "README.md", "ARCHITECTURE.md", "CHANGELOG.md")
TIMEOUT_S = 600.0
"""For the tests of one mutant; a mutant whose tests take longer loops, and counts as killed."""
LEAST_KILLED = 0.9
EQUIVALENT = Path(__file__).parent / "equivalent.toml"


@click.command()
@click.option("--samples", default=200, show_default=True)
@click.option("--seed", default=8, show_default=True)
@click.option("--package", "packages", multiple=True, type=click.Choice(PACKAGES), default=PACKAGES)
def main(samples: int, seed: int, packages: tuple[str, ...]) -> None:
    """Exit with 1 if less than 90 % of the mutants that are not equivalent are killed."""
    known = {(row["file"], row["line"], row["operator"]) for row in tomllib.loads(EQUIVALENT.read_text())["mutant"]}
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            source = Path(name)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, tree / name)
        for package in packages:
            if not _pass(Path(package) / "__init__.py", tree):
                raise click.ClickException(f"the tests of {package} fail without a mutant: nothing can be learned")
        for number, mutant in enumerate(draw(packages, samples, seed), 1):
            end = "equivalent" if (str(mutant.path), mutant.line, mutant.operator) in known else _try(mutant, tree)
            ends[end] += 1
            click.echo(f"{number:4} {end:10} {mutant.path}: {mutant.operator.removeprefix('core/')}: {mutant.line}")
            if end == "survived":
                click.echo(mutant.diff(mutant.path.read_text()))
    tried = ends["killed"] + ends["survived"]
    share = ends["killed"] / tried if tried else 1.0
    click.echo(
        f"{ends['killed']} killed, {ends['survived']} survived, {ends['equivalent']} equivalent: "
        f"{share:.1%} of {tried} killed, wanted {LEAST_KILLED:.0%}"
    )
    sys.exit(share < LEAST_KILLED)


def _try(mutant: Mutant, tree: Path) -> str:
    """Run the tests with the mutant in its file's place."""
    file = tree / mutant.path
    original = file.read_text()
    file.write_text(mutant.code)
    try:
        return "survived" if _pass(mutant.path, tree) else "killed"
    finally:
        file.write_text(original)


def _pass(file: Path, tree: Path) -> bool:
    """Whether the tests of the file's package pass; those of its own folder run first."""
    package, beside = f"tests/{file.parts[0]}", f"tests/{file.parent}"
    folders = [folder for folder in (beside, package, "tests/fuzz") if (tree / folder).is_dir()]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *dict.fromkeys(folders)]
    holds_kernels = "@kernel" in (tree / file).read_text()
    environment = os.environ | {
        "NUMBA_DISABLE_JIT": str(int(holds_kernels)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(tree),
        "XDG_CACHE_HOME": str(tree / ".cache"),
    }
    tests = subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return tests.wait(TIMEOUT_S) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if tests.poll() is None:
            os.killpg(tests.pid, signal.SIGKILL)
            tests.wait()


if __name__ == "__main__":
    main()
