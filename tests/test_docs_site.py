"""The documentation site: it builds, its links lead somewhere, it asks no other host, and it has what there is.

Built once, as `make docs` does.  Links are followed in what was built, so that a page, an anchor or a file that mkdocs
does not look at is found, too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import click
import msgspec
import pytest

import ringbuf
from tlv.codes import Completeness, Flag, QuoteVerdict, Reason
from tools.command.every_command import equip
from tools.command.main import COMMANDS, group
from tools.command.sections import SECTIONS
from tools.ringstat import command as ringstat
from tools.ringstat_gc import command as ringstat_gc

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted({*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"))})
FENCE = re.compile(r"^( *)(```+).*?^\1\2`*[ \t]*$", re.MULTILINE | re.DOTALL)
RESOURCES = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("source", "srcset"),
    ("iframe", "src"),
    ("use", "href"),
}
"""What a browser fetches without being asked to."""
MOST_SHOWN = 2000
"""Characters of what a build that failed says, whose end names the reason."""


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build a site; as strict as `make docs`."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    path = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT / "mkdocs.yml", path)
    if done.returncode:
        pytest.fail(done.stderr[-MOST_SHOWN:], pytrace=False)
    return path


class Built(HTMLParser):
    """A built page: its anchors, its links, what a browser fetches for it, and its headings."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.headings: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
                if re.fullmatch("h[1-6]", tag):
                    self.headings.append((tag, value))
            elif (tag, name) in RESOURCES and value:
                self.fetched.append(value)
            elif (tag, name) == ("a", "href") and value:
                self.links.append(value)


@pytest.fixture(scope="module")
def built(site: Path) -> dict[Path, Built]:
    """Every page of the site but the one for what is not found, whose links begin at a server's root."""
    return {path: Built(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def test_links_and_anchors_of_the_site_lead_somewhere(site: Path, built: dict[Path, Built]) -> None:
    wrong = []
    followed = 0
    for path, page in built.items():
        for link in [*page.links, *page.fetched]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            followed += 1
            there = target.is_file() and target.is_relative_to(site)
            if not there or (parts.fragment and target in built and unquote(parts.fragment) not in built[target].ids):
                wrong.append((str(path.relative_to(site)), link))
    assert followed > 1000
    assert wrong == []


def test_pages_of_the_site_ask_no_other_host(site: Path, built: dict[Path, Built]) -> None:
    fetched = {link for page in built.values() for link in page.fetched}
    assert fetched
    assert [link for link in fetched if urlsplit(link).netloc or urlsplit(link).scheme not in ("", "data")] == []
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert [found for text in styles for found in re.findall(r"(?:url\(|@import\s)\W*(?:https?:)?//[^)]*", text)] == []
    # Material fetches this library where a page has such a diagram.
    assert [path for path in built if 'class="mermaid"' in path.read_text(encoding="utf-8")] == []


def test_every_drawing_is_put_into_a_page_that_gives_it_its_colours(built: dict[Path, Built]) -> None:
    texts = [path.read_text(encoding="utf-8") for path in built]
    labels = [re.match(r'<svg [^>]*aria-label="([^"]+)"', path.read_text()) for path in DOCS.rglob("*.svg")]
    drawings = [label[1] for label in labels if label is not None]
    assert len(drawings) > 5
    for label in drawings:
        assert any('<svg class="drawing"' in text and f'aria-label="{label}"' in text for text in texts), label


def test_site_can_be_searched_without_a_server(site: Path) -> None:
    index = msgspec.json.decode((site / "search" / "search_index.json").read_bytes())
    texts = {entry["location"]: entry["title"] + entry["text"] for entry in index["docs"]}
    assert "--cross-check-share" in texts["reference/commands/collect.html#collect-cross-check-share"]
    assert (site / "search" / "search_index.js").stat().st_size > 1000
    assert 'src="assets/iframe-worker.js"' in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a page](missing.md)", "missing.md"),
        ("[a file](../tools/missing.py)", "missing.py"),
        ("[an anchor](index.md#missing)", "#missing"),
        ("", "orphan.md"),
    ],
    ids=["page", "file", "anchor", "orphan"],
)
def test_site_with_a_broken_link_or_an_orphan_does_not_build(tmp_path: Path, text: str, said: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# Home\n\n{text}\n")
    if not text:
        (docs / "orphan.md").write_text("# Orphan\n")
    config = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "docs_dir": str(docs),
        "hooks": [],
        "plugins": [],
        "nav": ["index.md"],
    }
    (tmp_path / "mkdocs.yml").write_bytes(msgspec.json.encode(config))
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert said in done.stderr


class Command(NamedTuple):
    """A command, what it is called and by which page of the reference it is told."""

    path: str
    command: click.Command
    page: str


def commands(path: str, command: click.Command, page: str) -> Iterator[Command]:
    """A command and all below it."""
    yield Command(path, command, page)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(f"{path} {name}", below, page)


def all_commands() -> list[Command]:
    found = [Command("ringstat", equip(ringstat), "ringstat"), Command("ringstat gc", equip(ringstat_gc), "ringstat")]
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found += commands(f"alphapulse {name}", command, name)
    return found


def test_reference_has_every_command_with_every_option_and_no_other(site: Path, built: dict[Path, Built]) -> None:
    folder = site / "reference" / "commands"
    options = {("index", f"alphapulse-{long_name(one)}") for one in shown(equip(group))}
    titles = set()
    for path, command, page in all_commands():
        words = path.removeprefix("alphapulse ").split()
        options |= {(page, "-".join([*words, long_name(one)])) for one in shown(command)}
        titles.add((page, path.replace(" ", "-")))
    pages = {path.stem: page for path, page in built.items() if path.parent == folder}
    headings = [(name, *heading) for name, page in pages.items() for heading in page.headings]
    assert {(name, anchor) for name, level, anchor in headings if level == "h4"} == options
    assert {(name, anchor) for name, level, anchor in headings if level != "h4" and name != "index"} == titles


def shown(command: click.Command) -> list[click.Parameter]:
    return [one for one in command.params if not (isinstance(one, click.Option) and one.hidden)]


def long_name(parameter: click.Parameter) -> str:
    named = parameter.opts[-1].lstrip("-") if isinstance(parameter, click.Option) else str(parameter.name)
    return named.replace("_", "-")


def test_reference_has_every_key_of_a_configuration_at_its_option(site: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (site / "reference" / "commands").glob("*.html"))
    stated = re.findall(r"key <code>([\w.]+)</code>", text)
    keys = [f"{section}.{key}" for section, kind in SECTIONS.items() for key in kind.keys.__struct_fields__]
    assert sorted(stated) == sorted(keys)


def test_reference_has_every_public_name_of_the_ring(site: Path, built: dict[Path, Built]) -> None:
    ids = (
        built[site / "reference" / "python" / "ring.html"].ids | built[site / "reference" / "python" / "live.html"].ids
    )
    shown_names = {name.rpartition(".")[2] for name in ids if name.startswith("ringbuf.")}
    assert set(ringbuf.__all__) - shown_names == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_the_text_exist_with_their_options(page: Path) -> None:
    known = {path: command for path, command, _ in all_commands()} | {"alphapulse": group}
    wrong = []
    for code in re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text(encoding="utf-8"))):
        words = code.split()
        if words[0] not in ("alphapulse", "ringstat") or words[-1] == "...":
            continue
        longest = next((words[:size] for size in (3, 2, 1) if " ".join(words[:size]) in known), [])
        command = known.get(" ".join(longest))
        rest = words[len(longest) :]
        options = {
            name
            for one in [*getattr(command, "params", []), *group.params]
            for name in [*one.opts, *one.secondary_opts]
        }
        options |= {"--help", "--version"}
        named = {word.partition("=")[0].strip("[]") for word in rest if word.strip("[]").startswith("--")}
        unknown = command is group and rest and re.fullmatch("[a-z]+", rest[0])
        if command is None or unknown or not named <= options:
            wrong.append(code)
    assert wrong == []


def terms() -> list[str]:
    return re.findall(r"^### (.+)$", (DOCS / "glossary.md").read_text(), re.MULTILINE)


def test_glossary_is_in_order_and_defines_no_term_twice() -> None:
    assert terms() == sorted(set(terms()), key=str.lower)


def test_every_term_of_the_glossary_is_used_in_other_pages() -> None:
    text = " ".join(FENCE.sub("", page.read_text()) for page in PAGES if page.name != "glossary.md").lower()
    words = " ".join(text.split())
    unused = [term for term in terms() if not re.search(rf"\b{re.escape(term.lower())}s?\b", words)]
    assert unused == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_page_begins_with_one_title_and_says_what_it_is_for(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    title, _, rest = text.partition("\n\n")
    assert title.startswith("# ")
    assert re.match(r"[`\[*A-Z]", rest), "a paragraph follows the title"


def test_readme_links_lead_to_files() -> None:
    text = (ROOT / "README.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not urlsplit(link).scheme]
    assert links
    assert [link for link in links if not (ROOT / link.replace("\\", "")).exists()] == []


def test_http_reference_has_every_path_that_is_served() -> None:
    stated = set(re.findall(r"^\| `(/[\w/]+)` \|", (DOCS / "reference" / "api.md").read_text(), re.MULTILINE))
    sources = [path.read_text() for part in ("obs", "dashboard") for path in (ROOT / "tools" / part).glob("*.py")]
    paths = r'"(/(?:api/\w+|metrics|healthz|readyz|dashboard))"'
    served = {path for text in sources for path in re.findall(paths, text)}
    assert {"/metrics", "/api/rings"} <= served
    assert served - stated == set()


def rows_below(page: str, heading: str) -> set[str]:
    """The names in the first column of the first table below a heading."""
    text = (DOCS / page).read_text().partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None, heading
    return {name for row in table[0].splitlines()[2:] for name in row.split("|")[1].strip(" `").split(", ")}


@pytest.mark.parametrize(
    ("page", "heading", "codes", "left_out"),
    [
        ("concepts/message.md", "## Flags", Flag, {"TRACED"}),
        ("concepts/completeness.md", "## Verdicts of a block", Completeness, {"UNKNOWN"}),
        ("concepts/completeness.md", "## Verdicts of a signal", QuoteVerdict, set()),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_table_of_codes_has_every_code(page: str, heading: str, codes: type[Enum], left_out: set[str]) -> None:
    assert {name.upper() for name in rows_below(page, heading)} == set(codes.__members__) - left_out


def test_reasons_of_a_gap_are_reasons() -> None:
    assert rows_below("concepts/completeness.md", "## Gaps") <= set(Reason.__members__)
