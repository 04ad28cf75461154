"""The pages of the documents, and what stands in them for a machine to run.

A page is a list of steps, in its order: its fenced blocks, and what it takes as given.  What is to be done with a block
is said by its language and by marks, which are HTML comments right above its fence:

    sh, python, javascript, sql   run, and must succeed; so must `toml`, which `alphapulse config check` reads
    json                          parsed
    text                          claims nothing: a drawing, an excerpt
    LANGUAGE title="FILE"         written to FILE, which a later block uses

    <!-- output -->               what the block before it prints; `...` stands for any text, alone for any lines
    <!-- background: TEXT -->     runs to the page's end; the page goes on once it has printed TEXT, if there is one
    <!-- interrupted: TEXT -->    runs until it has printed TEXT, and then gets Ctrl-C
    <!-- not run: REASON -->      one of `REASONS`
    <!-- run by: FILE -->         this test runs it, or this page, which has the same block
    <!-- generated: NAME --> ... <!-- end of NAME -->     renewed by `alphapulse kinds --write`, `bench --page`
    <!-- given: WHAT -->          from here on there is one of `GIVEN`, or the files of another page; stands anywhere
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMENT = re.compile(r"^\s*<!--(.*)-->$")
FENCE = re.compile(r"^(?P<indent>\s*)```+(?P<info>.*)$")
INFO = re.compile(r'(?P<language>\w+)(?: title="(?P<title>[^"]+)")?')

RUN = {"sh", "python", "javascript", "sql", "toml", "json"}
WRITTEN = {*RUN, "yaml", "ini"}
"""Languages of blocks with a title."""
REASONS = {
    "ends the machine",
    "needs a broker",
    "needs a container engine",
    "needs a provider",
    "needs systemd",
    "needs the network",
    "part of a file",
    "takes minutes",
}
GIVEN = {"journal", "node", "pipeline"}
MARKS = {"output", "background", "interrupted", "not run", "run by"}


class PageError(Exception):
    """A page says something that this format does not have."""


@dataclass(frozen=True)
class Given:
    """What the page takes as given from here on."""

    place: str
    what: str


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block."""

    place: str
    """File and line."""
    language: str
    title: str | None
    text: str
    marks: dict[str, str] = field(default_factory=dict)


Step = Given | CodeBlock


def pages() -> list[Path]:
    """Every page, from the project's root."""
    found = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("consumers/*/*.md")]
    return sorted(path.relative_to(ROOT) for path in found)


def read_page(path: Path) -> list[Step]:
    """The steps of a page.

    Raises:
        PageError: a fence without a language or with one that nothing is done with, an unknown mark, reason or premise.
    """
    steps: list[Step] = []
    marks: dict[str, str] = {}
    lines = enumerate(path.read_text().splitlines(), 1)
    for number, line in lines:
        place = f"{path}:{number}"
        if comment := COMMENT.match(line):
            name, _, value = (part.strip() for part in comment[1].partition(":"))
            if name == "generated" or name.startswith("end of "):
                continue
            if name == "given":
                check_word(place, "premise", value, {*GIVEN, *map(str, pages())})
                steps.append(Given(place, value))
            else:
                check_word(place, "mark", name, MARKS)
                if name == "not run":
                    check_word(place, "reason", value, REASONS)
                marks[name] = value
        elif fence := FENCE.match(line):
            text = textwrap.dedent("".join(f"{line}\n" for line in until_fence(place, lines)))
            steps.append(code_block(place, fence["info"], text, marks))
            marks = {}
        elif marks:
            raise PageError(f"{place}: expected a fence below {', '.join(marks)}, found {line!r}")
    return steps


def until_fence(place: str, lines: Iterator[tuple[int, str]]) -> list[str]:
    """The lines up to the closing fence."""
    found = []
    for _, line in lines:
        if line.strip().startswith("```"):
            return found
        found.append(line)
    raise PageError(f"{place}: this fence is never closed")


def code_block(place: str, info: str, text: str, marks: dict[str, str]) -> CodeBlock:
    """The block of a fence with this info string."""
    parts = INFO.fullmatch(info)
    if parts is None:
        raise PageError(f"{place}: expected a language behind the fence, found {info!r}")
    check_word(place, "language", parts["language"], WRITTEN if parts["title"] else RUN | {"text"})
    return CodeBlock(place, parts["language"], parts["title"], text, marks)


def check_word(place: str, what: str, found: str, known: Iterable[str]) -> None:
    """Raise PageError unless a word is one of those known."""
    if found not in known:
        raise PageError(f"{place}: expected as {what} one of {', '.join(sorted(known))}, found {found!r}")
