"""The wheel, installed outside the checkout, is complete: it can segment, and contains the default models."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from pydicom import dcmread

from clickseg.datasets.phantom import write_study
from tests.helpers import runs
from tests.helpers.fake_program import FakeProgram

pytestmark = pytest.mark.slow

MODELS = ["lesion", "pet_lesion"]


def build(project: Path, target: str, folder: Path) -> Path:
    """Builds the ``sdist`` or ``wheel`` of a project; returns its path."""
    ended = runs.run_process(["python", "-m", "hatchling", "build", "-t", target, "-d", folder], cwd=project)
    assert ended.returncode == 0, ended.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(runs.REPOSITORY, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel, and with all other packages of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    programs = folder / "bin"
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run([programs / "python", *install], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path and Path(path).resolve() != runs.REPOSITORY]
    (packages / "others.pth").write_text("\n".join(others))
    return programs


def test_the_wheels_of_sdist_and_checkout_contain_the_same_files(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(runs.REPOSITORY, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()

    rebuilt = build(source, "wheel", tmp_path / "wheel")

    assert list_wheel(rebuilt) == list_wheel(wheel)


def list_wheel(wheel: Path) -> set[str]:
    """Returns the files in a wheel, without wheels that were downloaded to ``container/environment/wheels``."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if "/environment/wheels/" not in name}


def test_the_wheel_contains_the_models_of_the_checkout(environment: Path, tmp_path: Path) -> None:
    ended = runs.run_process([environment / "clickseg", "models"], cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert [line.split()[0] for line in ended.stdout.splitlines()] == MODELS
    (installed,) = environment.parent.glob("lib/python*/site-packages/clickseg/_models")
    assert all(str(installed / name) in ended.stdout for name in MODELS)
    shipped = runs.REPOSITORY / "models"
    assert read_files(installed) == read_files(shipped)


def read_files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_segments_the_phantom_outside_the_checkout(environment: Path, tmp_path: Path) -> None:
    write_study(tmp_path / "study")

    ended = runs.run_process([environment / "clickseg", "segment", "study", "-o", "out"], cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["model"]["name"] == "pet_lesion"
    assert dcmread(tmp_path / "out" / report["series"][0]["files"]["seg"]).Modality == "SEG"


def test_an_image_built_from_the_wheel_contains_each_model_once(environment: Path, tmp_path: Path) -> None:
    docker = FakeProgram(tmp_path / "fake")
    command = [environment / "clickseg", "package", runs.REPOSITORY / "app", "-t", "clickseg:cpu"]

    ended = runs.run_process(command, cwd=tmp_path, **docker.environ)

    assert ended.returncode == 0, ended.stderr
    (call,) = docker.calls("build")
    weights = sorted(name for name in call["files"] if name.endswith("model.bin"))
    assert weights == [f"models/{name}/models/model.bin" for name in MODELS]
