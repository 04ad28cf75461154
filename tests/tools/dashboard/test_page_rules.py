"""What holds for the page's files: nothing inline or missing, no markup or code made of texts, nothing foreign."""

from __future__ import annotations

import re
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import tools.dashboard

ASSETS = Path(tools.dashboard.__file__).parent / "assets"
VENDOR = ASSETS / "vendor"
MODULES = sorted(path for path in ASSETS.rglob("*.js") if VENDOR not in path.parents)
PATH = re.compile(r"/assets/([\w./-]+)")


class Markup(HTMLParser):
    """Notes what is inline, and what is named."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.scripts = 0
        self.ids: list[str] = []
        self.named: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.inline.append(tag)
        self.scripts += tag == "script"
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self.inline += [value for value in given.values() if value and value.lower().startswith("javascript:")]
        self.ids += [given["id"]] if given.get("id") else []
        for name in ("aria-labelledby", "for"):
            self.named += (given.get(name) or "").split()


def markup() -> Markup:
    parser = Markup()
    parser.feed((ASSETS / "index.html").read_text())
    return parser


def test_page_has_nothing_inline() -> None:
    found = markup()
    assert found.inline == []
    assert found.scripts == 2


def test_page_names_each_element_once_and_none_that_is_missing() -> None:
    found = markup()
    assert len(found.ids) == len(set(found.ids))
    assert set(found.named) - set(found.ids) == set()
    wanted = {
        name for path in MODULES for name in re.findall(r'(?:byId|getElementById)\("([\w-]+)"\)', path.read_text())
    }
    assert wanted
    assert wanted - set(found.ids) == set()


def test_page_refers_to_files_that_exist_and_loads_every_module_at_once() -> None:
    named = set(PATH.findall((ASSETS / "index.html").read_text()))
    worker = {name for path in MODULES for name in PATH.findall(path.read_text())}
    missing = [name for name in named | worker if not (ASSETS / name).is_file()]
    assert missing == []
    reached = imported(ASSETS / "main.js")
    assert reached - {ASSETS / name for name in named} == set(), "a module that the page does not load at once"
    assert set(MODULES) - reached - imported(ASSETS / "worker.js") == {ASSETS / "first.js"}, (
        "a module that nobody needs"
    )


def imported(path: Path) -> set[Path]:
    """A module and all that it imports, all of which exist."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        if VENDOR not in module.parents:
            waiting += [
                (module.parent / name).resolve() for name in re.findall(r'from "(\.[^"]+)"', module.read_text())
            ]
    return found


def test_modules_make_no_markup_or_code_of_texts_and_ask_no_other_origin() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|DOMParser"
        r"|createContextualFragment|setHTMLUnsafe"
        r"""|setAttribute\(["'](?:style|on)|https?://(?!www\.w3\.org/2000/svg)"""
    )
    found = [f"{path.name}: {match[0]}" for path in MODULES for match in forbidden.finditer(path.read_text())]
    assert found == []
    assert forbidden.search("node.innerHTML = text")
    styles = [path for path in ASSETS.glob("*.css") if re.search(r"@import|url\(", path.read_text())]
    assert styles == []


def test_files_are_small() -> None:
    ours = [*MODULES, *ASSETS.glob("*.css"), *ASSETS.glob("*.html")]
    assert {path.name: lines for path in ours if (lines := len(path.read_text().splitlines())) >= 300} == {}


def test_vendored_files_are_what_their_provenance_says() -> None:
    listed = dict(re.findall(r"^\| `([\w.]+)` \|.*`([0-9a-f]{64})` \|$", (VENDOR / "PROVENANCE.md").read_text(), re.M))
    found = {
        path.name: sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.name != "PROVENANCE.md"
    }
    assert found == listed
