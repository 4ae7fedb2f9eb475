"""Compiled loops are kept where they can be, are taken only if whole and ours, and never decide whether a run works."""

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

STITCH = """
import os, sys, tempfile
from pathlib import Path
sys.path.insert(0, {repository!r})
import numpy as np
import clickseg.inference.compiled
user = {user}
if user:
    for cache in (Path({cache!r}), None):  # loads what others may not be able to read: what compiles, what unpacks
        clickseg.inference.compiled.CompiledKernels(1, cache)
    os.setgroups([]); os.setgid(user); os.setuid(user)
    os.chdir("/")
    tempfile.tempdir = {folders!r}
kernels = clickseg.inference.compiled.CompiledKernels(2, Path({cache!r}))
total, weights = np.zeros((2, 4, 4, 4), np.float32), np.zeros((4, 4, 4), np.float32)
ones = np.ones((2, 4, 4, 4), np.float32)
kernels.add(total, weights, ones, ones[0], (0, 0, 0), (slice(0, 4),) * 3)
print("taken" if kernels._loops.add.stats.cache_hits else "compiled", total.sum())
"""


def stitched(cache: Path, user: int = 0, folders: str = tempfile.gettempdir(), code: Path = runs.REPOSITORY) -> str:
    script = STITCH.format(repository=str(code), user=user, cache=str(cache), folders=folders)
    ended = runs.process([sys.executable, "-c", script], HOME="/nowhere", PYTHONDONTWRITEBYTECODE="1")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    assert stitched(cache) == "compiled 128.0"
    return cache


def archive(cache: Path) -> Path:
    (path,) = (cache / "numba").iterdir()
    return path


def copied(cache: Path, folder: Path) -> Path:
    (folder / "numba").mkdir(parents=True)
    copy = folder / "numba" / archive(cache).name
    copy.write_bytes(archive(cache).read_bytes())
    return copy


def test_what_one_process_compiled_another_takes_and_leaves_as_it_is(filled: Path) -> None:
    before = archive(filled).stat()

    assert stitched(filled) == "taken 128.0"
    assert archive(filled).stat().st_ino == before.st_ino


@pytest.fixture(scope="module")
def for_all() -> Iterator[Path]:
    """A folder that all users can read, with the code and a cache that root filled; pytest's are for its user alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(runs.REPOSITORY / "clickseg", folder / "clickseg", ignore=shutil.ignore_patterns("__pycache__"))
        assert stitched(folder / "cache", code=folder) == "compiled 128.0"
        yield folder


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_who_can_write_nowhere_takes_what_root_compiled(for_all: Path) -> None:
    assert stitched(for_all / "cache", OTHER_USER, code=for_all) == "taken 128.0"


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_without_any_folder_to_write_to_gets_the_same(for_all: Path) -> None:
    assert stitched(for_all / "cache", OTHER_USER, folders="/proc", code=for_all) == "compiled 128.0"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "changed", "of others", "link"])
def test_what_is_not_whole_or_not_ours_is_compiled_anew(filled: Path, tmp_path: Path, damage: str) -> None:
    copy = copied(filled, tmp_path / "cache")
    content = bytearray(copy.read_bytes())
    if damage == "cut":
        copy.write_bytes(content[:-1000])
    elif damage == "changed":
        content[len(content) // 2] ^= 1
        copy.write_bytes(content)
    elif damage == "of others":
        copy.chmod(0o666)
    else:
        copy.rename(tmp_path / "elsewhere")
        copy.symlink_to(tmp_path / "elsewhere")

    found = load_loops(tmp_path / "cache")

    assert not found.add_window.stats.cache_hits
    assert load_loops(tmp_path / "cache").add_window.stats.cache_hits  # it was replaced
    assert not copy.is_symlink()


@pytest.mark.slow
def test_a_user_whose_group_may_write_what_he_writes_has_a_cache_too(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        load_loops(tmp_path)
    finally:
        os.umask(before)

    assert load_loops(tmp_path).add_window.stats.cache_hits


def test_a_cache_that_cannot_be_made_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    found = load_loops(tmp_path / "file")

    total, weights = np.zeros((1, 1, 1, 2), np.float32), np.ones((1, 1, 2), np.float32)
    found.add_window(total, np.ones_like(total), weights, (0, 0, 0), (0, 0, 0), (1, 1, 2), 0, 1)
    assert total.sum() == 2
    assert (tmp_path / "file").read_text() == ""


def test_nothing_is_kept_where_the_system_does_not_tell_whose_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numba unpickles what it reads: on Windows it could be anybody's."""
    monkeypatch.delattr(os, "geteuid")

    found = load_loops(tmp_path / "cache")

    assert not found.add_window.stats.cache_hits
    assert list(tmp_path.iterdir()) == []
