"""The kernel cache: nobody else's code is run, an edit is never missed, and old ones go.

Many first starts at once are a campaign of `tools.prove.ring.signals`.
"""

from __future__ import annotations

import ast
import gc
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace

import numba
import pytest

import tlv.jit
import tlv.kernel_cache
from tlv.errors import CacheUnusable, UnsafeCacheError
from tlv.jit import kernel
from tlv.kernel_cache import (
    KEPT_CACHES,
    KernelCache,
    KernelFiles,
    KernelLocator,
    digest_beside,
    hold,
    is_warm,
    kernel_digest,
    mark_warm,
    read_sources,
    remove_old_caches,
    use_private_cache,
)
from tlv.user_cache import cache_root, make_private

REPOSITORY = Path(__file__).parents[2]
CHECK_A_HEADER = """
import numpy as np
from tlv.kernels import check_header, put_header
from tlv.layout import HEADER_SIZE, Header
buf = np.zeros(HEADER_SIZE, dtype=np.uint8)
put_header(buf, 0, 1, 4, 0, 7, 9)
header = Header.unpack(buf.tobytes())
print(check_header(buf, 0, HEADER_SIZE), header.version, header.source, header.sequence, header.timestamp_ns)
"""


@pytest.fixture
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one kernel below it, where a test is of the folders: the digest of all sources takes 0.3 s."""
    root = tmp_path_factory.mktemp("few")
    (root / "tlv").mkdir()
    (root / "tlv" / "one.py").write_text("@kernel\ndef one(): return 1\n")
    return root


def run_python(code: str, root: Path, cache: Path) -> subprocess.Popen[str]:
    """A Python process that imports the packages below `root` and keeps its kernels below `cache`."""
    if numba.config.DISABLE_JIT:
        pytest.skip("a process that compiles: as in a run without NUMBA_DISABLE_JIT")
    environment = os.environ | {"PYTHONPATH": str(root), "XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_DISABLE_JIT", None)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(code: str, root: Path, cache: Path) -> str:
    """What such a process prints; it must succeed."""
    process = run_python(code, root, cache)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


# ---- a directory that is not ours alone


def symbolic_link(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.mkdir(mode=0o700)
    path.symlink_to(target)


def regular_file(path: Path) -> None:
    path.touch(mode=0o600)


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def group_writable(path: Path) -> None:
    path.mkdir()
    path.chmod(0o770)


def world_writable(path: Path) -> None:
    path.mkdir()
    path.chmod(0o707)


def foreign(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, os.getuid() + 1, -1)


BAITS = [symbolic_link, regular_file, fifo, group_writable, world_writable, foreign]


def lay(bait: Callable[[Path], None], path: Path) -> None:
    try:
        bait(path)
    except PermissionError:
        # Only root can give a directory away; anybody else already has directories of root's to be refused.
        shutil.rmtree(path)
        path.symlink_to("/usr")


@pytest.mark.parametrize("bait", BAITS)
def test_make_private_unsafe_directory_is_refused_and_left_alone(bait: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "cache"
    lay(bait, path)
    before = path.lstat()
    with pytest.raises(UnsafeCacheError, match=r"kernel cache .*cache: expected .*, found"):
        make_private(path)
    after = path.lstat()
    assert (after.st_mode, after.st_uid, after.st_ino) == (before.st_mode, before.st_uid, before.st_ino)


@pytest.mark.parametrize("bait", BAITS)
def test_unsafe_directory_in_either_place_stops_the_import(
    bait: Callable[[Path], None], few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", numba.config.CACHE_DIR)
    lay(bait, cache_root())
    with pytest.raises(UnsafeCacheError):
        use_private_cache(few)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    make_private(cache_root())
    lay(bait, cache_root() / f"kernels-{kernel_digest(read_sources(few))}")
    with pytest.raises(UnsafeCacheError):
        use_private_cache(few)
    if bait is BAITS[-1]:
        print(f"row 36: {len(BAITS)} unsafe cache directories, {len(BAITS)} refused")


def test_import_with_a_poisoned_cache_runs_nothing_of_it(tmp_path: Path) -> None:
    world_writable(tmp_path / "alphapulse")
    process = run_python("import tlv.kernels", REPOSITORY, tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "UnsafeCacheError" in err
    assert not list((tmp_path / "alphapulse").iterdir())


def test_cache_that_cannot_be_made_is_told_with_what_to_do(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    with pytest.raises(CacheUnusable, match=r"kernel cache .*file.*; let NUMBA_CACHE_DIR name a directory"):
        use_private_cache(few)


def test_cache_is_where_numba_is_told_to_have_it(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    assert use_private_cache(few).parent == tmp_path / "alphapulse"


def test_cache_of_a_user_without_a_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(CacheUnusable, match="user 54321 has no home: set HOME"):
        cache_root()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_use_private_cache_creates_directories_of_mode_0700(
    umask: int, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    before = os.umask(umask)
    try:
        directory = use_private_cache(few)
    finally:
        os.umask(before)
    assert str(directory) == numba.config.CACHE_DIR
    for path in (directory, directory.parent):
        assert path.stat().st_mode & 0o777 == 0o700
    assert use_private_cache(few) == directory


# ---- old caches


def old_cache(root: Path, name: str, days: float) -> Path:
    """A cache with something in it, last used `days` ago."""
    path = root / f"kernels-{name}"
    path.mkdir(mode=0o700)
    (path / "index").mkdir()
    (path / "index" / "machine.code").write_bytes(b"code")
    used = path.stat().st_mtime - days * 86_400
    os.utime(path, (used, used))
    return path


def use_cache_in(folder: Path, few: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    return use_private_cache(few)


def test_use_private_cache_removes_caches_unused_for_a_month_and_keeps_what_is_no_cache(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_private(tmp_path / "alphapulse")
    old, recent, other = old_cache(root, "old", 31), old_cache(root, "recent", 29), root / "evm"
    other.mkdir()
    os.utime(other, (0, 0))
    no_directory = root / "kernels-note"
    no_directory.write_text("not a cache")
    os.utime(no_directory, (0, 0))
    used = use_cache_in(tmp_path, few, monkeypatch)
    assert not old.exists()
    assert all(path.exists() for path in (used, recent, other, no_directory))


def test_use_private_cache_keeps_the_newest_caches_of_other_sources(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_private(tmp_path / "alphapulse")
    caches = [old_cache(root, f"{days:02}", days) for days in range(1, KEPT_CACHES + 4)]
    for _ in range(2):
        used = use_cache_in(tmp_path, few, monkeypatch)
        assert sorted(root.iterdir()) == sorted([used, *caches[:KEPT_CACHES]])


def test_remove_old_caches_beside_one_that_goes_at_the_same_moment_keeps_on(tmp_path: Path) -> None:
    root = make_private(tmp_path / "alphapulse")
    used, old = old_cache(root, "used", 0), [old_cache(root, f"{days}", days) for days in (31, 32)]

    def remove(_frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call" and getattr(argument, "__name__", "") == "lstat" and old[0].exists():
            shutil.rmtree(old[0])

    sys.setprofile(remove)
    try:
        remove_old_caches(used)
    finally:
        sys.setprofile(None)
    assert list(root.iterdir()) == [used]


def test_use_private_cache_marks_its_own_as_used_now(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = use_cache_in(tmp_path, few, monkeypatch)
    before = used.stat().st_mtime
    os.utime(used, (before - 40 * 86_400,) * 2)
    assert use_cache_in(tmp_path, few, monkeypatch).stat().st_mtime >= before


def test_use_private_cache_never_removes_one_that_a_living_process_holds(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_private(tmp_path / "alphapulse")
    old = old_cache(root, "old", 31)
    code = "from tlv.kernel_cache import hold; from pathlib import Path; "
    code += f"hold(Path({str(old)!r})); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    os.utime(old, (0, 0))
    use_cache_in(tmp_path, few, monkeypatch)
    assert (old / "index" / "machine.code").exists()
    holder.kill()
    holder.communicate()
    use_cache_in(tmp_path, few, monkeypatch)
    assert not old.exists()


@pytest.mark.parametrize("at", ["open", "flock"])
def test_hold_of_a_cache_that_is_removed_at_the_last_moment_makes_it_anew(at: str, tmp_path: Path) -> None:
    """The race itself: another process removes it as old before our lock is taken."""
    path, gone = make_private(tmp_path / "kernels-x"), []

    def remove(_frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call" and getattr(argument, "__name__", "") == at and not gone:
            gone.append(path.rmdir())

    sys.setprofile(remove)
    try:
        lock = hold(path)
    finally:
        sys.setprofile(None)
    assert gone and os.path.samestat(os.fstat(lock), path.stat())
    os.close(lock)


def test_cache_root_without_an_absolute_setting_is_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_root() == Path.home() / ".cache" / "alphapulse"


@pytest.mark.parametrize("disabled", ["0", "1"])
def test_import_chooses_the_cache_only_if_something_is_compiled(
    disabled: str, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tlv.kernel_cache, "ROOT", few)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NUMBA_DISABLE_JIT", disabled)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", int(disabled))
    jit = runpy.run_path(tlv.jit.__file__)
    chosen = tmp_path / "alphapulse" / f"kernels-{kernel_digest(read_sources(few))}"
    compiles = disabled == "0"
    assert (str(chosen) if compiles else "") == numba.config.CACHE_DIR
    assert jit["COMPILES"] is chosen.is_dir() is compiles


@pytest.mark.parametrize("decorator", ["kernel", "inline_kernel"])
@pytest.mark.parametrize("disabled", ["0", "1"])
def test_kernel_divides_as_numpy_does(
    disabled: str, decorator: str, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tlv.kernel_cache, "ROOT", few)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NUMBA_DISABLE_JIT", disabled)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", int(disabled))
    jit = runpy.run_path(tlv.jit.__file__)
    jit["compile_with"]("tlv.memcpy")

    def divide(numerator: float, denominator: float) -> float:
        return numerator / denominator

    compiled = jit[decorator](divide)
    assert (compiled is divide) is (disabled == "1")
    if compiled is not divide:
        assert compiled(1.0, 0.0) == float("inf")


def test_packages_that_compile_nothing_import_no_compiler(tmp_path: Path) -> None:
    names = ("numba", "llvmlite", "coverage", "yaml")
    code = f"import sys, ringbuf, tlv.message; print(*(name for name in {names} if name in sys.modules))"
    for disabled, found in (("1", ""), ("0", "numba llvmlite")):
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled, "XDG_CACHE_HOME": str(tmp_path)},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stdout.strip() == found


@pytest.mark.parametrize("collects", [True, False])
def test_import_of_the_compiler_hides_what_it_needs_not_for_its_time_and_leaves_the_collector_as_it_was(
    collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("coverage", "yaml"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        (gc.enable if collects else gc.disable)()
        assert tlv.jit.import_compiler() is numba
        assert (gc.isenabled(), sys.modules.keys() & {"coverage", "yaml"}) == (collects, set())
    finally:
        gc.enable()
    assert gc.get_freeze_count() > 0


# ---- what is found needs no compiler

FOUND_AND_NOT = """
import sys
import numpy as np
from tlv.jit import kernel
from tlv.kernels import check_header

def is_ready():
    return "numba.np.linalg" in sys.modules

def one(values):
    return values[1]

check_header(np.zeros(64, np.uint8), 0, 64)
print(is_ready(), end=" ")
print(kernel(one)(np.arange(3, dtype="f8" if is_ready() else "f4")), is_ready())
"""
ALLOCATES = """
import numba, numpy as np

@numba.njit(cache=True)
def many(count):
    return np.ones(count).sum()

print(many(3))
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [(FOUND_AND_NOT, ["True 1.0 True", "False 1.0 True", "False 1.0 False"]), (ALLOCATES, ["3.0", "3.0"])],
    ids=["kernels", "what needs numba's own memory"],
)
def test_code_that_is_found_is_run_without_a_compiler_that_is_ready(code: str, said: list[str], tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(code)
    run = f"import sys; sys.path.append({str(tmp_path)!r}); import tlv.jit, module"
    assert [output_of(run, REPOSITORY, tmp_path) for _ in said] == said


@pytest.mark.parametrize(
    ("code", "enabled", "readied"),
    [
        (b"numba_do_raise", True, 0),
        (b"NRT_incref", True, 1),
        (b"_numba_hashsecret_siphash_k0", True, 1),
        (b"NRT_incref", False, 0),
        (None, True, 0),
    ],
)
def test_kernel_cache_readies_the_compiler_for_code_that_needs_what_it_readies(
    code: bytes | None, enabled: bool, readied: int
) -> None:
    cache, calls = KernelCache.__new__(KernelCache), list[str]()
    kept = None if code is None else (("name", "object", (b"machine " + code + b" code", b"bitcode")), "the rest")
    cache._enabled, cache._index_key = enabled, lambda signature, codegen: "its key"
    cache._cache_file = SimpleNamespace(load=lambda key: kept if key == "its key" else None)
    cache._impl = SimpleNamespace(rebuild=lambda target, found: found)
    target = SimpleNamespace(codegen=lambda: None, refresh=lambda: calls.append("refresh"))
    assert cache.load_overload("a signature", target) is (kept if enabled else None)
    assert len(calls) == readied


# ---- an edit is never missed


def copy_of_the_package(folder: Path) -> Path:
    shutil.copytree(REPOSITORY / "tlv", folder / "tlv", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_checkouts_of_the_same_code_share_what_was_compiled(tmp_path: Path) -> None:
    roots = [tmp_path / "one", tmp_path / "other"]
    cache = tmp_path / "cache"
    compiled = "\nfrom tlv.kernels import check_header\nprint(sum(check_header.stats.cache_misses.values()))"
    found = [output_of(CHECK_A_HEADER + compiled, copy_of_the_package(root), cache) for root in roots]
    assert [int(said.split()[-1]) for said in found] == [1, 0]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def swap_header_fields(root: Path) -> None:
    edit(
        root / "tlv/layout.py",
        "    sequence: I64\n    timestamp_ns: I64\n",
        "    timestamp_ns: I64\n    sequence: I64\n",
    )


def raise_version(root: Path) -> None:
    edit(root / "tlv/codes.py", "VERSION = 1\n", "VERSION = 2\n")


def test_kernel_after_an_edited_constant_in_another_file_is_the_new_one(tmp_path: Path) -> None:
    root, cache = copy_of_the_package(tmp_path / "copy"), tmp_path / "cache"
    assert output_of(CHECK_A_HEADER, root, cache) == "0 1 4 7 9"
    raise_version(root)
    assert output_of(CHECK_A_HEADER, root, cache) == "0 2 4 7 9"
    swap_header_fields(root)
    assert output_of(CHECK_A_HEADER, root, cache) == "0 2 4 7 9"
    assert len(list((cache / "alphapulse").glob("kernels-*"))) == 3
    print("row 36: 2 edits of constants and layouts, 2 new kernels")


def test_kernel_without_the_digest_in_its_cache_would_be_stale(tmp_path: Path) -> None:
    root, cache = copy_of_the_package(tmp_path / "copy"), tmp_path / "cache"
    edit(root / "tlv/kernel_cache.py", "kernels-{kernel_digest(sources)}", "kernels-always-the-same")
    assert output_of(CHECK_A_HEADER, root, cache) == "0 1 4 7 9"
    swap_header_fields(root)
    assert output_of(CHECK_A_HEADER, root, cache) == "0 1 4 9 7"


COMMENT = "# a remark\n"
KEPT = [
    pytest.param({"tlv/kernels.py": COMMENT}, id="a comment in front of kernels"),
    pytest.param({"ringbuf/layout.py": COMMENT}, id="a comment in a layout"),
    pytest.param({"consumers/live.py": "import tlv\nANYTHING = 1\n"}, id="code that no kernel reaches"),
]
CHANGED = [
    pytest.param("tlv/codes.py", "VERSION = 1\n", "VERSION = 2\n", id="a constant"),
    pytest.param("tlv/layout.py", "    sequence: I64\n", "    sequence: U64\n", id="a layout"),
    pytest.param("tlv/memcpy.py", "args[4], 1)", "args[4], 8)", id="an instruction"),
    pytest.param("tlv/crc.py", "@kernel\ndef ", "@kernel\ndef other_", id="a kernel"),
]


def read_few_sources() -> dict[str, bytes]:
    """Of the repository: the packages that all kernels rest on, and a module that none reaches."""
    sources = read_sources(REPOSITORY)
    return {
        name: text for name, text in sources.items() if name == "consumers.live" or name.startswith(("tlv", "ringbuf"))
    }


@pytest.fixture(scope="module")
def digest_before() -> str:
    return kernel_digest(read_few_sources())


def with_text(name: str, change: Callable[[str], str]) -> dict[str, bytes]:
    """These sources, one of them changed."""
    module = name.removesuffix(".py").replace("/", ".")
    sources = read_few_sources()
    before = sources[module]
    sources[module] = change(before.decode()).encode()
    assert sources[module] != before
    return sources


@pytest.mark.parametrize("edits", KEPT)
def test_kernel_digest_after_an_edit_that_changes_no_kernel_is_the_same(
    edits: dict[str, str], digest_before: str
) -> None:
    for name, text in edits.items():
        sources = with_text(
            name, lambda before, text=text: before.replace("from __future__", text + "from __future__", 1)
        )
        assert kernel_digest(sources) == digest_before


def test_kernel_digest_after_another_docstring_is_the_same(digest_before: str) -> None:
    sources = with_text("tlv/kernels.py", lambda text: text.replace('"""', '"""Other words. ', 1))
    assert kernel_digest(sources) == digest_before


@pytest.mark.parametrize(("name", "old", "new"), CHANGED)
def test_kernel_digest_after_an_edit_that_a_kernel_reaches_is_another(
    name: str, old: str, new: str, digest_before: str
) -> None:
    assert kernel_digest(with_text(name, lambda text: text.replace(old, new, 1))) != digest_before


def test_kernel_digest_covers_packages_and_what_their_modules_import(tmp_path: Path) -> None:
    """Kernels in a package's modules, one of which imports a constant by way of the package."""
    files = {
        "ringbuf/deep/__init__.py": "A = 1\n",
        "ringbuf/deep/copy.py": "import tlv.codes\nfrom ringbuf.deep import A\n@kernel\ndef copy():\n    pass\n",
        "tlv/codes.py": "B = 1\n",
        "consumers/other.py": "C = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = {}
    for name, text in files.items():
        before = kernel_digest(read_sources(tmp_path))
        (tmp_path / name).write_text(text + "D = 1\n")
        found[name] = kernel_digest(read_sources(tmp_path)) != before
    assert found == {name: name != "consumers/other.py" for name in files}


def test_comment_above_a_kernel_compiles_nothing(tmp_path: Path) -> None:
    root, cache = copy_of_the_package(tmp_path / "copy"), tmp_path / "cache"
    assert output_of(CHECK_A_HEADER, root, cache) == "0 1 4 7 9"
    compiled = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    path = root / "tlv/kernels.py"
    path.write_text(path.read_text().replace("@kernel\n", "# a remark\n@kernel\n"))
    assert output_of(CHECK_A_HEADER, root, cache) == "0 1 4 7 9"
    assert compiled
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")} == compiled


def test_use_private_cache_knows_the_sources_that_it_has_seen(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    used = use_private_cache(few)
    moved = used.rename(used.with_name("kernels-moved"))
    assert use_private_cache(few) == moved


def test_cache_is_warm_once_marked_and_only_for_the_sources_that_it_was_marked_for(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(KernelLocator, "sources", "")
    mark_warm()  # of a process that compiles nothing: it has no cache
    assert not is_warm(few)
    use_private_cache(few)
    assert not is_warm(few)
    mark_warm()
    assert is_warm(few)
    assert not is_warm(tmp_path)


def test_kernel_locator_stamps_only_what_the_directory_does_not_cover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(KernelLocator, "sources", "sources-1")

    def strategy() -> None:
        pass

    ours = KernelLocator.from_function(kernel, tlv.jit.__file__)
    theirs = KernelLocator.from_function(strategy, __file__)
    assert (ours.get_source_stamp(), ours.get_disambiguator()) == (None, "")
    assert ours.get_cache_path() == str(tmp_path / "tlv")
    assert str(Path(__file__).parent) not in theirs.get_cache_path() != ours.get_cache_path()
    assert theirs.get_disambiguator() == str(strategy.__code__.co_firstlineno)
    stamp = theirs.get_source_stamp()
    monkeypatch.setattr(KernelLocator, "sources", "sources-2")
    assert theirs.get_source_stamp() != stamp


def test_kernel_of_a_user_is_stale_when_what_it_imports_from_beside_it_is_edited(tmp_path: Path) -> None:
    whole = tmp_path / "strategy.py"
    whole.write_text("import numpy\nimport limits\nfrom parts.more import LEAST\nimport broken\n")
    (tmp_path / "limits.py").write_text("MOST = 1\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "more.py").write_text("import limits, strategy\nLEAST = 1\n")
    (tmp_path / "broken.py").write_text("def (\n")
    (tmp_path / "other.py").write_text("")
    seen = [digest_beside(str(whole))]
    for edited in ("limits.py", "parts/more.py", "parts/__init__.py", "broken.py", "strategy.py"):
        with (tmp_path / edited).open("a") as file:
            file.write("# edited\n")
        seen.append(digest_beside(str(whole)))
    (tmp_path / "other.py").write_text("MOST = 2\n")
    assert len(set(seen)) == len(seen)
    assert digest_beside(str(whole)) == seen[-1]


def test_kernel_of_a_user_after_an_edited_constant_beside_it_is_the_new_one(tmp_path: Path) -> None:
    folder, cache = tmp_path / "mine", tmp_path / "cache"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "from tlv.jit import kernel\nimport limits\n@kernel\ndef most(x):\n    return x + limits.MOST\n"
    )
    code = f"""
import sys
sys.path.insert(0, {str(folder)!r})
from mine import most
print(most(1), len(most.stats.cache_hits))"""
    said = []
    for most in (7, 7, 8):
        (folder / "limits.py").write_text(f"MOST = {most}\n")
        said.append(output_of(code, Path(__file__).parents[2], cache))
    assert said == ["8 0", "8 1", "9 0"]


def test_signatures_compiled_by_two_processes_at_once_are_never_taken_for_each_other(tmp_path: Path) -> None:
    """The race itself, and a kill in the middle of it: with numba's own names the one is run as the other."""

    class Overtaken(KernelFiles):  # type: ignore[misc]
        def _save_index(self, overloads: dict[str, str]) -> None:
            KernelFiles(str(tmp_path), "kernel", None).save("mark=int64", "any mark")
            super()._save_index(overloads)

        def _save_data(self, name: str, data: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Overtaken(str(tmp_path), "kernel", None).save("mark=1", "mark 1")
    files = KernelFiles(str(tmp_path), "kernel", None)
    assert files.load("mark=1") is None  # it is compiled again
    for signature, code in (("mark=1", "mark 1"), ("mark=int64", "any mark")):
        files.save(signature, code)
    assert (files.load("mark=1"), files.load("mark=int64")) == ("mark 1", "any mark")


def test_kernels_that_check_bounds_are_kept_apart_and_no_two_files_bear_a_number_of_numba(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for checked, caches in (("0", 1), ("1", 2)):
        monkeypatch.setenv("NUMBA_BOUNDSCHECK", checked)
        assert output_of(CHECK_A_HEADER, REPOSITORY, tmp_path) == "0 1 4 7 9"
        assert len(list((tmp_path / "alphapulse").glob("kernels-*"))) == caches
    names = [path.name for path in tmp_path.rglob("*.nbc")]
    assert len(names) > 4 and not [name for name in names if name.endswith(".1.nbc")]


@pytest.mark.parametrize("module", ["batch", "kernels", "wide"])
def test_function_of_a_module_of_kernels_is_compiled(module: str) -> None:
    """One that is not would be slow from Python, and uncallable from a kernel."""
    tree = ast.parse((REPOSITORY / "tlv" / f"{module}.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        assert [ast.unparse(one) for one in function.decorator_list] in (["kernel"], ["inline_kernel"]), function.name
