"""``clickseg run`` and ``clickseg package`` translate models of other tools on this machine: the image has no torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from clickseg.models.package import load_package
from tests.helpers import runs
from tests.helpers.fake_program import FakeProgram
from tests.helpers.foreign_bundles import write_runnable_bundle
from tests.helpers.foreign_programs import write_shifter
from tests.helpers.oracles import torch


@pytest.fixture
def docker(tmp_path: Path) -> FakeProgram:
    return FakeProgram(tmp_path / "program")


def write_source(folder: Path, kind: str) -> Path:
    """Writes a model of another tool: a bundle, a folder that contains only it, or weights with a JSON file."""
    if kind == "weights":
        path = write_shifter(folder, "spleen")
        shutil.move(path, path.with_suffix(".pt"))
        return path.with_suffix(".pt")
    bundle = write_runnable_bundle(folder / "spleen")
    return bundle if kind == "bundle" else folder


def mounted_models(program: FakeProgram) -> dict[str, Path]:
    """Returns the paths of this machine that are mounted as models, by their path in the container."""
    (call,) = program.calls("run")
    mounts = [str(word).split(",") for word in call["words"] if str(word).startswith("type=bind")]  # type: ignore[attr-defined]
    pairs = [[field.partition("=")[2] for field in mount[1:3]] for mount in mounts]
    return {target: Path(path) for path, target in pairs if "model" in target}


@pytest.mark.parametrize("kind", ["bundle", "folder", "weights"])
def test_run_mounts_the_translated_package_and_names_it(docker: FakeProgram, tmp_path: Path, kind: str) -> None:
    source, study = write_source(tmp_path / "source", kind), runs.write_input(tmp_path / "study")
    settings = {"CLICKSEG_SET": "window.overlap=0.5", "XDG_CACHE_HOME": str(tmp_path / "cache")}

    result = runs.run_clickseg("run", "i", study, tmp_path / "out", "-m", source, **docker.environ, **settings)

    assert result.returncode == 0, result.stderr
    ((target, package),) = mounted_models(docker).items()
    words = docker.calls("run")[0]["words"]
    assert target == "/mnt/model/spleen"
    assert f"CLICKSEG_MODELS={target}" in words  # type: ignore[operator]
    assert load_package(package).spec.window.overlap == 0.5
    assert not [word for word in words if "CLICKSEG_SET" in str(word)]  # type: ignore[attr-defined]


def test_run_keeps_the_translation_in_the_cache_of_the_container(docker: FakeProgram, tmp_path: Path) -> None:
    source, study = write_source(tmp_path / "source", "bundle"), runs.write_input(tmp_path / "study")
    words = ["run", "i", study, tmp_path / "out", "-m", source, "--cache", tmp_path / "cache"]

    result = runs.run_clickseg(*words, **docker.environ)

    assert result.returncode == 0, result.stderr
    assert mounted_models(docker)["/mnt/model/spleen"].is_relative_to(tmp_path / "cache" / "models")


def test_run_of_a_model_that_cannot_be_translated_starts_no_container(docker: FakeProgram, tmp_path: Path) -> None:
    source, study = write_source(tmp_path / "source", "bundle"), runs.write_input(tmp_path / "study")
    torch.save({"weight": torch.ones(1)}, source / "models" / "model.pt")

    result = runs.run_clickseg(
        "run", "i", study, tmp_path / "out", "-m", source, **docker.environ, XDG_CACHE_HOME=str(tmp_path / "cache")
    )

    assert result.returncode == 1
    assert len(runs.error_lines(result.stderr)) == 1
    assert docker.calls("run") == []
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bundle", "folder", "weights"])
def test_package_contains_the_translated_package(docker: FakeProgram, tmp_path: Path, kind: str) -> None:
    source = write_source(tmp_path / "source", kind)

    result = runs.run_clickseg_process(
        "package", "-t", "x", "-m", source, **docker.environ, XDG_CACHE_HOME=str(tmp_path / "cache")
    )

    assert result.returncode == 0, result.stderr
    (call,) = docker.calls("build")
    files = {name for name in call["files"] if name.startswith("models/")}  # type: ignore[attr-defined]
    assert {name.split("/")[1] for name in files} == {"spleen"}
    assert {"models/spleen/configs/metadata.json", "models/spleen/docs/README.md"} <= files
