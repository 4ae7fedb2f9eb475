"""The wheel alone, installed outside of the checkout, segments: it holds the default models."""

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


def build(project: Path, kind: str, folder: Path) -> Path:
    """Builds the ``sdist`` or ``wheel`` of a project."""
    ended = runs.process(["python", "-m", "hatchling", "build", "-t", kind, "-d", folder], cwd=project)
    assert ended.returncode == 0, ended.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(runs.REPOSITORY, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel; all other packages are those of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    programs = folder / "bin"
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run([programs / "python", *install], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path and Path(path).resolve() != runs.REPOSITORY]
    (packages / "others.pth").write_text("\n".join(others))
    return programs


def test_the_wheel_of_the_sdist_holds_the_same_files_as_that_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(runs.REPOSITORY, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()

    again = build(source, "wheel", tmp_path / "wheel")

    assert names(again) == names(wheel)


def names(wheel: Path) -> set[str]:
    """The files of a wheel, without the downloads that ``docs/container.md`` puts into the checkout."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if "/environment/wheels/" not in name}


def test_the_models_of_the_wheel_are_those_of_the_checkout(environment: Path, tmp_path: Path) -> None:
    ended = runs.process([environment / "clickseg", "models"], cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert [line.split()[0] for line in ended.stdout.splitlines()] == MODELS
    (installed,) = environment.parent.glob("lib/python*/site-packages/clickseg/_models")
    assert all(str(installed / name) in ended.stdout for name in MODELS)
    shipped = runs.REPOSITORY / "models"
    assert files(installed) == files(shipped)


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_segments_the_phantom_outside_of_the_checkout(environment: Path, tmp_path: Path) -> None:
    write_study(tmp_path / "study")

    ended = runs.process([environment / "clickseg", "segment", "study", "-o", "out"], cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["model"]["name"] == "pet_lesion"
    assert dcmread(tmp_path / "out" / report["series"][0]["files"]["seg"]).Modality == "SEG"


def test_an_image_built_from_the_wheel_holds_each_model_once(environment: Path, tmp_path: Path) -> None:
    docker = FakeProgram(tmp_path / "fake")
    command = [environment / "clickseg", "package", runs.REPOSITORY / "app", "-t", "clickseg:cpu"]

    ended = runs.process(command, cwd=tmp_path, **docker.environ)

    assert ended.returncode == 0, ended.stderr
    (call,) = docker.calls("build")
    weights = sorted(name for name in call["files"] if name.endswith("model.bin"))
    assert weights == [f"models/{name}/models/model.bin" for name in MODELS]
