"""Every command and every block of code of README and docs, executed as `tests.docs.pages` says; and that this notices
what is wrong with a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, CodeBlock, PageError, pages, read_page
from tests.docs.run_page import run_on_own_machine

FENCE = "```"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what pages share: one for all processes of xdist, each of which has a folder of its own in it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "pages"
    folder.mkdir(exist_ok=True)
    return folder


def blocks() -> list[CodeBlock]:
    """The blocks of all pages."""
    return [step for page in pages() for step in read_page(page) if isinstance(step, CodeBlock)]


@pytest.mark.parametrize("page", pages(), ids=str)
def test_page_does_what_it_says(page: Path, shared: Path) -> None:
    ran = run_on_own_machine(page, shared)
    assert ran.returncode == 0, ran.stdout


def test_pages_say_why_a_block_is_not_run(tell: Callable[[str], None]) -> None:
    code = [block for block in blocks() if block.language != "text"]
    reasons = Counter(block.marks["not run"] for block in code if "not run" in block.marks)
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    tell(f"documents: {len(code)} blocks of code, {reasons.total()} of them not run ({left_out})")
    assert reasons.total() < len(code) / 4


def test_pages_name_the_test_or_the_page_that_runs_a_block_instead() -> None:
    found = blocks()
    run = {
        (block.place.partition(":")[0], block.text) for block in found if not block.marks.keys() & {"not run", "run by"}
    }
    for block in found:
        file = block.marks.get("run by", "")
        if file.endswith(".md"):
            assert (file, block.text) in run, block.place
        elif file:
            assert Path(block.place.partition(":")[0]).name in (ROOT / file).read_text(), block.place


def test_pages_use_every_file_that_they_show() -> None:
    for page in pages():
        found = [step for step in read_page(page) if isinstance(step, CodeBlock)]
        for number, block in enumerate(found):
            if block.title is not None:
                name = Path(block.title).stem
                assert any(name in later.text for later in found[number + 1 :]), block.place


def page_of(folder: Path, *parts: str) -> Path:
    """A page in `folder` of these parts, where FENCE opens and closes."""
    page = folder / "page.md"
    page.write_text("\n\n".join(parts) + "\n")
    return page


def fence(info: str, text: str, mark: str = "") -> str:
    return f"{mark}\n{FENCE}{info}\n{text}\n{FENCE}"


BAITS = {
    "exit": ([fence("sh", "exit 3")], "exit code 3"),
    "traceback": ([fence("sh", "python -c 'raise KeyError' || true")], "a traceback"),
    "python": ([fence("python", "assert 1 == 2")], "AssertionError"),
    "javascript": ([fence("javascript", "throw new Error('no')")], "exit code 1"),
    "sql": ([fence("sql", "select nothing")], "Binder Error"),
    "toml": ([fence("toml", "[collector]\nrign = 'x'")], "rign"),
    "output": ([fence("sh", "echo 12"), fence("text", "1...3", "<!-- output -->")], "something else"),
    "background that ends": (
        [fence("sh", "echo up; sleep 0.01", "<!-- background: up -->"), fence("sh", "sleep 1")],
        "ended with 0 before its page did",
    ),
    "background that is not up": ([fence("sh", "echo down", "<!-- background: up -->")], "before it printed 'up'"),
}
"""Pages with a fault, and what is said of it."""


@pytest.mark.parametrize(("parts", "said"), BAITS.values(), ids=BAITS)
def test_run_of_a_page_with_a_fault_fails_and_says_where(parts: list[str], said: str, tmp_path: Path) -> None:
    ran = run_on_own_machine(page_of(tmp_path, *parts), tmp_path)
    assert ran.returncode == 1
    assert f"{tmp_path / 'page.md'}:2" in ran.stdout
    assert said in ran.stdout


def test_run_of_a_page_keeps_folder_exports_and_files_between_blocks(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        fence("sh", "mkdir below\ncd below\nexport GREETING=hello"),
        fence('python title="below/greet.py"', "import os\nprint(os.environ['GREETING'], 'from', os.getcwd())"),
        fence("sh", "python greet.py"),
        fence("text", "hello from ...below", "<!-- output -->"),
        fence("sh", "echo ready; exec sleep 1000", "<!-- background: ready -->"),
        fence("sh", "echo ready; exec sleep 1000", "<!-- interrupted: ready -->"),
        fence("javascript", "console.log(process.env.GREETING)"),
        fence("text", "hello", "<!-- output -->"),
    )
    ran = run_on_own_machine(page, tmp_path)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (fence("", "ls"), "expected a language"),
        (fence("sh live", "ls"), "expected a language"),
        (fence("cobol", "ls"), "language"),
        (fence("sh", "ls", "<!-- not run: it fails -->"), "reason"),
        (fence("sh", "ls", "<!-- skip -->"), "mark"),
        ("<!-- given: money -->", "premise"),
        (f"{FENCE}sh\nls", "never closed"),
        ("<!-- output -->\nNo fence.", "expected a fence"),
    ],
)
def test_page_with_an_unknown_fence_or_mark_is_refused(part: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(PageError, match=said):
        read_page(page_of(tmp_path, part))
