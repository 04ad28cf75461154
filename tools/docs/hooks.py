"""mkdocs' hooks: pages that are generated, pages that stand outside docs/, and links to both.

Owns where a file of the repository is on the site.  A page outside docs/ keeps its path in the repository.  So a link
is written as a reader of the repository needs it, and changed here into what mkdocs follows and checks: to a page of
the site, or to a copy of the file.  The commands' pages are made when the site is built and are not in the repository:
unlike docs/configuration.md they say nothing that `--help` does not, where no site is.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.docs.commands import pages

ROOT = Path(__file__).parents[2]
DOCS = "docs"
COMMANDS = "reference/commands/"
OUTSIDE = (
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LAYOUT.md",
    "consumers/bridge/BRIDGE.md",
    "consumers/relay/RELAY.md",
    "tools/recording/data/PROVENANCE.md",
)
"""Pages of the site that stand elsewhere in the repository."""
HOME = {"README.md": "index.md"}
"""What the site has another page for."""
FENCE = re.compile(r"^( *)(```+).*?^\1\2`*[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")

DRAWING = re.compile(r'<img [^>]*src="([^"]+\.svg)"[^>]*>')
STYLE = re.compile(r"\s*<style>.*?</style>", re.DOTALL)
"""What a drawing needs where it stands alone; on the site assets/site.css says the same."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the commands' pages into the navigation, where their folder stands."""
    config.nav = with_commands(config.nav)
    return config


def with_commands(entry: Any) -> Any:
    """An entry of the navigation and all below it."""
    if isinstance(entry, list):
        return [with_commands(one) for one in entry]
    if isinstance(entry, dict):
        return {title: with_commands(below) for title, below in entry.items()}
    if entry != COMMANDS:
        return entry
    return [COMMANDS + name if name == "index.md" else {name.removesuffix(".md"): COMMANDS + name} for name in pages()]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated and what stands outside docs/."""
    for name, text in pages().items():
        files.append(File.generated(config, COMMANDS + name, content=text))
    for path in OUTSIDE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links to files of the repository links within the site, but for those in code."""
    found, end = [], 0
    for fence in FENCE.finditer(markdown):
        found += [relinked(markdown[end : fence.start()], page, config, files), fence.group()]
        end = fence.end()
    return "".join([*found, relinked(markdown[end:], page, config, files)])


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put drawings into the page, so that they have its colours; a file of their own would have the system's."""

    def drawing(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.url), match[1]))
        svg = (Path(config.docs_dir) / path).read_text(encoding="utf-8")
        if not svg.startswith("<svg "):
            return match[0]  # a chart, which a library drew in colours of its own
        return STYLE.sub("", svg).replace("<svg ", '<svg class="drawing" ', 1)

    return DRAWING.sub(drawing, html)


def relinked(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A text without code blocks, its links changed."""
    source = page.file.src_uri
    folder = posixpath.dirname(source if source in OUTSIDE else posixpath.join(DOCS, source))

    def change(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2].replace("\\", "")))
        place = site_path(target, config, files)
        if place is None:
            return match[0]  # mkdocs says that there is no such file
        return match[1] + posixpath.relpath(place, posixpath.dirname(source) or ".") + match[3]

    return LINK.sub(change, text)


def site_path(target: str, config: MkDocsConfig, files: Files) -> str | None:
    """Where the site has a file of the repository, copied if it is no page; None if there is no such file."""
    inside = posixpath.relpath(target, DOCS)
    if not inside.startswith(".."):
        return inside
    if target in OUTSIDE or target in HOME:
        return HOME.get(target, target)
    if not (ROOT / target).is_file():
        return None
    if files.get_file_from_path(target) is None:
        files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))
    return target
