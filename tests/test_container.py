"""The container file: what it copies is there, what it runs exists.  What it installs, `test_wheel.py` looks into."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import click

from tools.command.main import group

ROOT = Path(__file__).parents[1]
FILE = ROOT / "tools" / "container" / "Containerfile"
HOME = "/var/lib/alphapulse"


def instructions() -> list[tuple[str, str]]:
    """Each instruction and what follows it, continuation lines joined."""
    text = re.sub(r"\\\n\s*", "", FILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def last(name: str) -> str:
    return [rest for instruction, rest in instructions() if instruction == name][-1]


def variables() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(last("ENV")))


def test_container_copies_what_a_wheel_is_built_of_and_nothing_that_is_not_there() -> None:
    copied = [word for name, rest in instructions() if name == "COPY" and "--from" not in rest for word in rest.split()]
    sources = set(copied) - {"./"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "constraints.txt"}
    assert sources == needed | set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert all((ROOT / source).exists() for source in sources)


def test_container_installs_extras_that_exist_with_the_versions_of_the_tests() -> None:
    (install,) = (rest for name, rest in instructions() if name == "RUN" and "pip install" in rest)
    (extras,) = re.findall(r"'\.\[(.*)\]'", install)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert "up" in extras.split(",")
    assert any("PIP_CONSTRAINT=/source/constraints.txt" in rest for name, rest in instructions() if name == "ENV")


def test_container_runs_commands_that_exist_as_another_user_and_ends_on_a_signal_that_they_know() -> None:
    (entry,) = json.loads(last("ENTRYPOINT"))
    assert entry in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    health = last("HEALTHCHECK")
    for line in (json.loads(last("CMD")), json.loads(health[health.index("[") :])[1:]):
        name, *arguments = line
        command = group.get_command(click.Context(group), name)
        assert command is not None
        command.make_parser(click.Context(command)).parse_args(arguments)
    assert last("STOPSIGNAL") == "SIGTERM"
    uid, gid = last("USER").split(":")
    assert min(int(uid), int(gid)) > 0


def test_container_keeps_journals_state_and_kernels_in_volumes() -> None:
    volumes = json.loads(last("VOLUME"))
    assert last("WORKDIR") in volumes
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        assert f"{variables()[name]}/alphapulse" in volumes
    assert variables()["CREDENTIALS_DIRECTORY"] == "/run/secrets"


def test_docs_name_the_container_file_and_its_folder() -> None:
    text = (ROOT / "docs" / "running.md").read_text()
    assert "tools/container/Containerfile" in text
    assert "--shm-size" in text
    assert HOME in text
