"""What every command has, asked of each there is: the next one that lacks something fails here."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import click
import pytest

from consumers.extras import EXTRAS
from tests.tools.command.tree import EVERY, Help, every_help, run
from tools.command.completing import BY_OPTION, CompletedText
from tools.command.needs import needs_of

ROOT = Path(__file__).parents[3]
SLOW = {"numba", "llvmlite", "structlog", "rich"}
"""Packages that take longer to import than a help to show."""
WORDS = sorted(EVERY)


def named(words: object) -> str:
    return " ".join(words) if isinstance(words, tuple) else str(words)


@pytest.fixture(scope="module")
def helps() -> dict[tuple[str, ...], Help]:
    """What each command prints for `--help` where no extra is installed."""
    return every_help(missing=tuple(EXTRAS))


@pytest.mark.parametrize("words", WORDS, ids=named)
def test_command_help_needs_no_extra_and_no_compiler(
    words: tuple[str, ...], helps: dict[tuple[str, ...], Help]
) -> None:
    code, text, imported = helps[words]
    assert code == 0
    assert text.startswith(f"Usage: {' '.join(words)} [") and "\n  Example" in text
    assert not {name.partition(".")[0] for name in imported} & SLOW


@pytest.mark.parametrize("words", WORDS, ids=named)
def test_command_help_ends_with_an_example_and_what_it_needs(words: tuple[str, ...]) -> None:
    command = EVERY[words]
    assert command.epilog is not None
    example, *needs = command.epilog.split("\n\n")
    assert example.replace("\b\n", "").lstrip().startswith(("Example:", "Examples:"))
    assert " ".join(words) in example
    assert needs == [need.help for need in needs_of(command.callback)]
    assert all("pip install 'alphapulse[" in line for line in needs)


@pytest.mark.parametrize("words", WORDS, ids=named)
def test_command_says_its_version(words: tuple[str, ...]) -> None:
    context = click.Context(EVERY[words], info_name=words[-1])
    (option,) = (one for one in EVERY[words].params if "--version" in one.opts)
    assert option.is_eager and option.get_help_record(context) is not None


@pytest.mark.parametrize("words", [("alphapulse",), ("alphapulse", "journal", "verify"), ("ringstat", "gc")], ids=named)
def test_command_prints_the_version_of_the_package(words: tuple[str, ...]) -> None:
    ended = run(*words, "--version")
    assert ended.stdout.endswith(f", version {metadata.version('alphapulse')}\n") and ended.returncode == 0


NEEDY = [words for words in WORDS if any(not need.option for need in needs_of(EVERY[words].callback))]
RUNS = {
    ("alphapulse", "bridge"): ("status",),
    ("alphapulse", "export"): ("journal", "--out", "tables"),
    ("alphapulse", "restart"): ("-c", "{config}", "relay"),
    ("alphapulse", "up"): ("-c", "{config}"),
}
"""What a command must be given."""


@pytest.mark.parametrize("words", NEEDY, ids=named)
def test_command_without_its_extra_says_what_installs_it(words: tuple[str, ...], tmp_path: Path) -> None:
    config = tmp_path / "alphapulse.toml"
    config.write_text("[relay]\n")
    arguments = (one.format(config=config) for one in RUNS.get(words, ()))
    ended = run(*words, *arguments, missing=tuple(EXTRAS), XDG_RUNTIME_DIR=str(tmp_path))
    extra = EXTRAS[needs_of(EVERY[words].callback)[0].libraries[0]]
    said = ended.stderr.splitlines()
    assert (ended.returncode, f"pip install 'alphapulse[{extra}]'" in said[0], len(said)) == (2, True, 1), said


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("obs", "--notify-file", "receivers"), "obs"),
        (("trace", "--slowest", "1", "--otlp", "http://127.0.0.1:1"), "otlp"),
        (("bench", "--only", "bridge"), "nats"),
        (("doctor", "--wait", "0.5"), ""),
        (("status",), ""),
    ],
)
def test_command_refuses_what_needs_an_extra_and_nothing_else(
    words: tuple[str, ...], extra: str, tmp_path: Path
) -> None:
    ended = run("alphapulse", *words, missing=tuple(EXTRAS), XDG_RUNTIME_DIR=str(tmp_path))
    assert "Traceback" not in ended.stderr
    assert (f"pip install 'alphapulse[{extra}]'" in ended.stderr, ended.returncode == 2) == (bool(extra), bool(extra))


def test_extras_are_those_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS.values()) == set(declared) - {"docs"}, "no command imports what the site is built with"


@pytest.mark.parametrize("words", WORDS, ids=named)
def test_command_tells_what_a_misspelt_option_or_choice_may_mean(words: tuple[str, ...]) -> None:
    command = EVERY[words]
    for parameter in command.params:
        for option in parameter.opts if isinstance(parameter, click.Option) else ():
            if len(option) > 4 and option.startswith("--"):
                with pytest.raises(click.UsageError) as raised:
                    command.make_context(words[-1], [f"{option[:4]}x{option[4:]}"])
                assert option in raised.value.format_message()
        if isinstance(parameter.type, click.Choice):
            (choice, *_) = sorted(map(str, parameter.type.choices), key=len, reverse=True)
            with pytest.raises(click.BadParameter, match=f"did you mean {choice}\\?"):
                parameter.type.convert(choice[:-1] + "_", parameter, None)


READS_A_WHOLE = ("JOURNAL", "DIRECTORY", "DIRECTORIES", "FILE")
QUICK = {
    ("alphapulse", "journal", "info"): "it reads indexes",
    ("alphapulse", "chain", "check"): "it reads one small file",
    ("alphapulse", "config", "check"): "it reads one small file",
    ("alphapulse", "config", "show"): "it reads one small file",
    ("alphapulse", "init"): "it writes one small file",
}


@pytest.mark.parametrize("words", WORDS, ids=named)
def test_command_that_reads_a_whole_journal_or_file_shows_its_progress(words: tuple[str, ...]) -> None:
    command = EVERY[words]
    arguments = {str(one.name).upper() for one in command.params if isinstance(one, click.Argument)}
    shows = any("--no-progress" in one.opts for one in command.params)
    assert shows or not arguments & set(READS_A_WHOLE) or words in QUICK


@pytest.mark.parametrize("words", WORDS, ids=named)
def test_command_completes_what_means_the_same_everywhere(words: tuple[str, ...]) -> None:
    for parameter in EVERY[words].params:
        if isinstance(parameter, click.Option) and parameter.opts[0] in BY_OPTION:
            assert isinstance(parameter.type, CompletedText), parameter.opts


@pytest.mark.parametrize("arguments", [("collect", "--url", ""), ("collect", "--url="), ("dump", "")], ids=named)
def test_command_refuses_an_empty_value(arguments: tuple[str, ...]) -> None:
    ended = run("alphapulse", *arguments)
    assert ended.returncode == 2
    assert f"{arguments[-2] if arguments[-1] == '' else '--url'}: expected a value, found an empty text" in ended.stderr


@pytest.mark.parametrize("words", [("alphapulse", "status"), ("ringstat", "--once")], ids=named)
def test_command_refuses_a_misspelt_variable(words: tuple[str, ...]) -> None:
    ended = run(*words, ALPHAPULSE_LOGLEVEL="debug")
    assert ended.returncode == 2
    assert "ALPHAPULSE_LOGLEVEL: no setting has this name; did you mean ALPHAPULSE_LOG_LEVEL?" in ended.stderr


def test_command_without_a_place_for_kernels_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run("alphapulse", "dump", "no.such.ring", NUMBA_CACHE_DIR=str(tmp_path / "file"))
    line = ended.stderr.splitlines()[0]
    assert ended.returncode == 2
    assert line.startswith("alphapulse: error: kernel cache ") and line.endswith("name a directory that you can write")


def test_command_prints_to_an_encoding_that_lacks_a_letter() -> None:
    ended = run("alphapulse", "layout", PYTHONIOENCODING="ascii")
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)


CONFIGURATION = "[collector]\n[relay.market]\n[relay.signal]\n"


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("alphapulse dump --types PoolSync,PoolSw", ["PoolSync,PoolSwap"]),
        ("alphapulse collect --chain pol", ["polygon"]),
        ("alphapulse strategy --start la", ["latest"]),
        ("alphapulse --config alphapulse.toml --process relay.s", ["relay.signal"]),
        ("alphapulse restart -c alphapulse.toml rel", ["relay.market", "relay.signal"]),
        ("alphapulse logs coll", ["collector"]),
        ("alphapulse logs -c none.toml coll", []),
    ],
)
def test_shell_completes_values(line: str, answers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "alphapulse.toml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    words = line.split()
    asked = {"_ALPHAPULSE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ended = run("alphapulse", **asked, PYTHONPATH=str(ROOT))
    found = [answer.partition(",")[2] for answer in ended.stdout.splitlines() if answer]
    assert found == answers, ended.stderr
