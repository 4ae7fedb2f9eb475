"""Compiled loops are cached if possible, loaded only if intact and owned by this user or root, and never required."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clickseg.inference.compiled import load_loops
from tests.helpers import runs

OTHER_USER = 12345

ADD_WINDOW_SCRIPT = """
import os, sys, tempfile
from pathlib import Path
sys.path.insert(0, {repository!r})
import numpy as np
import clickseg.inference.compiled
user = {user}
if user:
    for cache in (Path({cache!r}), None):  # imports modules that other users may not be able to read
        clickseg.inference.compiled.CompiledKernels(1, cache)
    os.setgroups([]); os.setgid(user); os.setuid(user)
    os.chdir("/")
    tempfile.tempdir = {folders!r}
kernels = clickseg.inference.compiled.CompiledKernels(2, Path({cache!r}))
total, weights = np.zeros((2, 4, 4, 4), np.float32), np.zeros((4, 4, 4), np.float32)
ones = np.ones((2, 4, 4, 4), np.float32)
kernels.add_window(total, weights, ones, ones[0], (0, 0, 0), (slice(0, 4),) * 3)
print("loaded" if kernels._loops.add_window.stats.cache_hits else "compiled", total.sum())
"""


def run_script(cache: Path, user: int = 0, folders: str = tempfile.gettempdir(), code: Path = runs.REPOSITORY) -> str:
    script = ADD_WINDOW_SCRIPT.format(repository=str(code), user=user, cache=str(cache), folders=folders)
    process = runs.run_process([sys.executable, "-c", script], HOME="/nowhere", PYTHONDONTWRITEBYTECODE="1")
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


@pytest.fixture(scope="module")
def filled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    assert run_script(cache) == "compiled 128.0"
    return cache


def archive_path(cache: Path) -> Path:
    (path,) = (cache / "numba").iterdir()
    return path


def copy_archive(cache: Path, folder: Path) -> Path:
    (folder / "numba").mkdir(parents=True)
    copy = folder / "numba" / archive_path(cache).name
    copy.write_bytes(archive_path(cache).read_bytes())
    return copy


def test_loops_compiled_by_one_process_are_loaded_by_the_next_without_changing_the_cache(filled_cache: Path) -> None:
    before = archive_path(filled_cache).stat()

    assert run_script(filled_cache) == "loaded 128.0"
    assert archive_path(filled_cache).stat().st_ino == before.st_ino


@pytest.fixture(scope="module")
def public_folder() -> Iterator[Path]:
    """A folder that all users can read, with the code and a cache written by root; pytest's are private."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(runs.REPOSITORY / "clickseg", folder / "clickseg", ignore=shutil.ignore_patterns("__pycache__"))
        assert run_script(folder / "cache", code=folder) == "compiled 128.0"
        yield folder


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_without_write_access_loads_what_root_compiled(public_folder: Path) -> None:
    assert run_script(public_folder / "cache", OTHER_USER, code=public_folder) == "loaded 128.0"


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_without_any_writable_folder_gets_the_same_result(public_folder: Path) -> None:
    assert run_script(public_folder / "cache", OTHER_USER, folders="/proc", code=public_folder) == "compiled 128.0"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "changed", "writable by others", "link"])
def test_a_damaged_or_untrusted_cache_is_ignored_and_the_loops_are_compiled_again(
    filled_cache: Path, tmp_path: Path, damage: str
) -> None:
    copy = copy_archive(filled_cache, tmp_path / "cache")
    content = bytearray(copy.read_bytes())
    if damage == "truncated":
        copy.write_bytes(content[:-1000])
    elif damage == "changed":
        content[len(content) // 2] ^= 1
        copy.write_bytes(content)
    elif damage == "writable by others":
        copy.chmod(0o666)
    else:
        copy.rename(tmp_path / "elsewhere")
        copy.symlink_to(tmp_path / "elsewhere")

    loops = load_loops(tmp_path / "cache")

    assert not loops.add_window.stats.cache_hits
    assert load_loops(tmp_path / "cache").add_window.stats.cache_hits  # the damaged file was replaced
    assert not copy.is_symlink()


@pytest.mark.slow
def test_the_cache_works_with_a_umask_that_lets_the_group_write(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        load_loops(tmp_path)
    finally:
        os.umask(before)

    assert load_loops(tmp_path).add_window.stats.cache_hits


def test_an_unusable_cache_folder_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    loops = load_loops(tmp_path / "file")

    total, weights = np.zeros((1, 1, 1, 2), np.float32), np.ones((1, 1, 2), np.float32)
    loops.add_window(total, np.ones_like(total), weights, (0, 0, 0), (0, 0, 0), (1, 1, 2), 0, 1)
    assert total.sum() == 2
    assert (tmp_path / "file").read_text() == ""


def test_nothing_is_cached_if_the_system_does_not_report_file_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numba unpickles its cache; on Windows anybody could have written it."""
    monkeypatch.delattr(os, "geteuid")

    loops = load_loops(tmp_path / "cache")

    assert not loops.add_window.stats.cache_hits
    assert list(tmp_path.iterdir()) == []
