"""The memory limit of a run: that of the user, else that of the machine and its control groups."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from clickseg.core.errors import UsageError
from clickseg.core.memory import Memory, machine_limit_bytes, parse_size
from tests.helpers import runs

GB = 1 << 30


def set_available(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Sets the available memory of the machine."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=size))


def make_machine(folder: Path, groups: str = "", **limits: str) -> Path:
    """Creates folders ``proc`` and ``sys`` with limits, which are given by path with ``__`` for a slash."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(groups)
    for name, limit in limits.items():
        path = folder / "sys/fs/cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name.replace("limit_in", ".limit_in").replace("memorymax", "memory.max")).write_text(limit)
    return folder


@pytest.mark.parametrize(
    ("text", "size"),
    [("8G", 8 * GB), ("8 GiB", 8 * GB), ("512m", 512 << 20), ("1.5G", GB + GB // 2), ("1000000", 1_000_000)],
)
def test_sizes_are_read_as_users_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "8 X", "8G8", "1e9", "nan", "9" * 400])
def test_an_invalid_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="memory-limit: expected a size such as 8G or 512M"):
        parse_size(text)


def test_the_limit_of_the_machine_is_its_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_available(monkeypatch, 1_024_000)

    assert (
        1_024_000 < machine_limit_bytes(make_machine(tmp_path)) < 1_024_000 + 4 * GB
    )  # plus the memory of this process


def test_without_control_groups_only_free_memory_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_available(monkeypatch, 7 * GB)

    assert 7 * GB < machine_limit_bytes(tmp_path) < 11 * GB


def test_the_smallest_limit_of_a_group_and_its_parents_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_available(monkeypatch, 1000 * GB)
    groups = {"a__b__memorymax": "max\n", "a__memorymax": f"{2 * GB}\n", "memorymax": f"{3 * GB}\n"}

    assert machine_limit_bytes(make_machine(tmp_path, groups="0::/a/b\n", **groups)) == 2 * GB


def test_the_limit_of_a_version_1_group_is_found_in_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_available(monkeypatch, 1000 * GB)
    groups = "5:cpu:/docker/abc\n4:hugetlb,memory:/docker/abc\n"

    root = make_machine(tmp_path, groups=groups, memory__memorylimit_in_bytes=f"{5 * GB}\n")

    assert machine_limit_bytes(root) == 5 * GB


def test_without_control_groups_this_machine_has_a_limit() -> None:
    assert machine_limit_bytes() > 100 << 20


def test_allocated_memory_reduces_free_bytes(tmp_path: Path) -> None:
    memory = Memory(100 * GB, tmp_path)
    before = memory.free_bytes()

    block = b"1" * (256 << 20)

    assert before - memory.free_bytes() >= 0.9 * len(block)


def test_a_run_above_the_limit_is_one_error_line_and_leaves_no_files(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")

    process = runs.run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, "--memory-limit", "1M")

    assert process.returncode == 1
    (line,) = [text for text in process.stderr.splitlines() if text.startswith("error:")]
    assert "memory: expected at least" in line
    assert "raise --memory-limit" in process.stderr
    assert not (tmp_path / "out").exists()
