"""Settings and fixtures of all tests: the folders of real data, and validators that may not be installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from clickseg.inference.engines.cuda_runtime import load_cuda_runtime

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # tests run in parallel on all cores, so more threads of torch would only wait

load_cuda_runtime()  # MONAI imports the MONAI Deploy App SDK if it is installed, which needs the CUDA runtime

settings.register_profile("clickseg", deadline=None)  # times on shared machines vary too much
settings.load_profile("clickseg")

_DATA = Path(os.environ.get("CLICKSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))

_OPTIONAL_PACKAGES = {
    "cupy",
    "edt",
    "ignite",
    "jinja2",
    "matplotlib",
    "monai",
    "surface_distance",
    "tensorboard",
    "torch",
}
"""Packages that requirements-cpu.txt does not install."""


class OptionalModule(pytest.Module):
    """A test module that is skipped if an optional package that it imports is not installed."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        try:
            return list(super().collect())
        except self.CollectError as error:
            cause = error.__cause__
            if isinstance(cause, ModuleNotFoundError) and (cause.name or "").partition(".")[0] in _OPTIONAL_PACKAGES:
                pytest.skip(f"not installed: {cause.name}", allow_module_level=True)
            raise


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    return OptionalModule.from_parent(parent, path=module_path)


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of real DICOM with irregularities, which is not in the repository."""
    folder = _DATA / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"no real DICOM at {folder}: set CLICKSEG_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def sarcoma() -> Path:
    """The folder of the 36 patients of Soft-tissue-Sarcoma, which is not in the repository."""
    folder = _DATA / "sts"
    if not folder.is_dir():
        pytest.skip(f"no Soft-tissue-Sarcoma at {folder}: set CLICKSEG_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def dciodvfy() -> str:
    """The path of David Clunie's DICOM validator, from Debian's dicom3tools."""
    path = shutil.which("dciodvfy")
    if path is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    return path


@pytest.fixture
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the settings of this machine from the environment variables."""
    for name in os.environ:
        if name.startswith(("CLICKSEG_", "HOLOSCAN_", "SOURCE_DATE_EPOCH")):
            monkeypatch.delenv(name)
