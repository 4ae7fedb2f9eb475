"""What all tests share: where real data lie, and judges that may not be installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from clickseg.inference.engines.cuda_runtime import load_cuda_runtime

os.environ.setdefault("OMP_NUM_THREADS", "1")  # each core has a test of its own: torch's threads would wait for them

load_cuda_runtime()  # plain MONAI imports the MONAI Deploy App SDK where that is installed, which needs it

settings.register_profile("clickseg", deadline=None)  # time on shared machines says nothing
settings.load_profile("clickseg")

_DATA = Path(os.environ.get("CLICKSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


_OPTIONAL = {"cupy", "edt", "ignite", "jinja2", "matplotlib", "monai", "surface_distance", "tensorboard", "torch"}
"""What requirements-cpu.txt does not bring."""


class OptionalModule(pytest.Module):
    """Tests that are skipped where a library that they import is not installed."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        try:
            return list(super().collect())
        except self.CollectError as error:
            cause = error.__cause__
            if isinstance(cause, ModuleNotFoundError) and (cause.name or "").partition(".")[0] in _OPTIONAL:
                pytest.skip(f"not installed: {cause.name}", allow_module_level=True)
            raise


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    return OptionalModule.from_parent(parent, path=module_path)


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of real DICOM with its oddities, which is no part of the repository."""
    folder = _DATA / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"no real DICOM at {folder}: set CLICKSEG_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def sarcoma() -> Path:
    """The folder of the 36 patients of Soft-tissue-Sarcoma, which is no part of the repository."""
    folder = _DATA / "sts"
    if not folder.is_dir():
        pytest.skip(f"no Soft-tissue-Sarcoma at {folder}: set CLICKSEG_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def dciodvfy() -> str:
    """David Clunie's validator, from Debian's dicom3tools."""
    found = shutil.which("dciodvfy")
    if found is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    return found


@pytest.fixture
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches the test."""
    for name in os.environ:
        if name.startswith(("CLICKSEG_", "HOLOSCAN_", "SOURCE_DATE_EPOCH")):
            monkeypatch.delenv(name)
