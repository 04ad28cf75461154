"""`python -m tools.prove.mutation.command`: whether the tests notice when the code is changed.

Draws mutants of the four packages and runs, for each, the tests that may notice it (`tools.prove.mutation.reach`) in a
copy of the tree, until one fails.  A mutant that fails none of them survives and is shown, unless `equivalent.toml`
lists it as equivalent to the original, with the reason.

Kernels of tlv and ringbuf run as plain Python (NUMBA_DISABLE_JIT=1): the same lines, seen by coverage, and nothing is
compiled.  Elsewhere they are compiled, into a cache of this run: as plain Python the tests of producers take more than
20 minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import click

from tools.prove.mutation.reach import Reach, measure
from tools.prove.mutation.sample import Mutant, draw

PACKAGES = ("tlv", "ringbuf", "producers", "consumers")
PLAIN = ("tlv", "ringbuf")
"""Packages whose tests are quick as plain Python."""
LEAST_TIMEOUT_S = 120.0
TIMES_SLOWER = 5
"""The tests of a mutant that take so many times the original's, and two minutes, have been made to loop: killed."""
LEAST_KILLED = 0.9
EQUIVALENT = Path(__file__).parent / "equivalent.toml"


@click.command()
@click.option("--samples", default=200, show_default=True)
@click.option("--seed", default=8, show_default=True)
@click.option("--jobs", default=2, show_default=True, help="Mutants that are tried at the same time.")
@click.option(
    "--reach",
    "kept",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Keep in this folder which tests reach which lines, and take it from there; only while no code changes.",
)
@click.option("--package", "packages", multiple=True, type=click.Choice(PACKAGES), default=PACKAGES)
def main(samples: int, seed: int, jobs: int, kept: Path | None, packages: tuple[str, ...]) -> None:
    """Exit with 1 if less than 90 % of the mutants that are not equivalent are killed."""
    known = {(row["file"], row["line"], row["operator"]) for row in tomllib.loads(EQUIVALENT.read_text())["mutant"]}
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        trees = [copy_project(Path(folder) / str(job)) for job in range(jobs)]
        reach = dict(zip(packages, pool.map(partial(learn, trees[0], kept or Path(folder)), packages), strict=True))
        trials: SimpleQueue[Trial] = SimpleQueue()
        for tree in trees:
            trials.put(Trial(tree, reach))

        def end_of(mutant: Mutant) -> tuple[Mutant, str]:
            if (str(mutant.path), mutant.line, mutant.operator) in known:
                return mutant, "equivalent"
            trial = trials.get()
            try:
                return mutant, trial.run(mutant)
            finally:
                trials.put(trial)

        drawn = list(draw(packages, samples, seed))
        click.echo(f"{len(drawn)} mutants drawn")
        trying = [pool.submit(end_of, mutant) for mutant in drawn]
        for number, done in enumerate(as_completed(trying), 1):
            mutant, end = done.result()
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


def copy_project(tree: Path) -> Path:
    """What git knows of this folder, in a folder of its own."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0")[:-1]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, tree / name)
    return tree


def learn(tree: Path, kept: Path, package: str) -> Reach:
    """Run the tests of `package` as they are."""
    click.echo(f"{package}: which tests reach which lines ...")
    began, plain = time.monotonic(), package in PLAIN
    folders = [f"tests/{package}"] if plain else [f"tests/{package}", "tests/fuzz"]
    try:
        reach = measure(package, folders, tree, environment(tree, plain=plain), kept.resolve())
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"the tests of {package} did not run:\n{error.stdout}\n{error.stderr}") from None
    click.echo(f"{package}: {time.monotonic() - began:.0f} s")
    for name in sorted(reach.failed):
        click.echo(f"{package}: fails without a mutant, left out: {name}")
    return reach


def environment(tree: Path, *, plain: bool) -> dict[str, str]:
    """Of tests that run in a copy of the project."""
    return os.environ | {
        "NUMBA_DISABLE_JIT": str(int(plain)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(tree),
        "XDG_CACHE_HOME": str(tree / ".cache"),
    }


class Trial:
    """A copy of the project in which one file at a time is replaced by a mutant."""

    def __init__(self, tree: Path, reach: dict[str, Reach]) -> None:
        self._tree, self._reach = tree, reach

    def run(self, mutant: Mutant) -> str:
        """Whether the tests notice it: `killed` or `survived`."""
        file = self._tree / mutant.path
        original = file.read_text()
        package = mutant.path.parts[0]
        tests = self._reach[package].tests(mutant.path, mutant.number)
        file.write_text(mutant.code)
        try:
            passed = self._pass(tests, package)
        finally:
            file.write_text(original)
        return "survived" if passed else "killed"

    def _pass(self, tests: list[str], package: str) -> bool:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
            cwd=self._tree,
            env=environment(self._tree, plain=package in PLAIN),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(LEAST_TIMEOUT_S + TIMES_SLOWER * self._reach[package].seconds(tests)) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


if __name__ == "__main__":
    main()
