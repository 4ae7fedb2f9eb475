"""``clickseg package``, with a docker that only notes what it was asked for."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.helpers import runs
from tests.helpers.fake_program import FakeProgram
from tests.helpers.runs import REPOSITORY


@pytest.fixture
def docker(tmp_path: Path) -> FakeProgram:
    return FakeProgram(tmp_path / "fake")


def package(program: FakeProgram, *words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return runs.command("package", *words, cwd=REPOSITORY, **{**program.environ, **environ})


def test_the_context_holds_the_application_and_nothing_else_of_the_checkout(docker: FakeProgram) -> None:
    ended = package(docker, "-t", "clickseg:cpu")

    assert (ended.returncode, ended.stdout) == (0, "image    clickseg:cpu\n"), ended.stderr
    (call,) = docker.calls("build")
    tops = {name.partition("/")[0] for name in call["files"]}
    assert tops == {
        "Dockerfile",
        "LICENSE",
        "app",
        "clickseg",
        "container",
        "docs",
        "models",
        "operators",
        "pyproject.toml",
    }
    assert {"app/main.py", "operators/ports.py", "clickseg/__main__.py", "container/entrypoint"} <= set(call["files"])
    assert {"container/assemble", "container/environment/install-python"} <= set(call["files"])
    assert call["dockerfile"] == (REPOSITORY / "Dockerfile").read_text()
    assert "models/pet_lesion/configs/metadata.json" in call["files"]
    assert not [name for name in call["files"] if "__pycache__" in name or ".git" in name or "tests" in name]


def build_arguments(call: dict[str, object]) -> dict[str, str]:
    words = call["words"]
    assert isinstance(words, list)
    return dict(word.split("=", 1) for option, word in pairwise(words) if option == "--build-arg")


def test_the_target_is_an_argument_of_the_build_and_so_is_the_base_image(docker: FakeProgram) -> None:
    package(docker, "-t", "x/clickseg:1", "--target", "gpu", "-b", "local:base", "--version", "2.1")

    (call,) = docker.calls("build")
    arguments = build_arguments(call)
    assert {name: arguments[name] for name in ("TARGET", "BASE_IMAGE", "TITLE", "VERSION")} == {
        "TARGET": "gpu",
        "BASE_IMAGE": "local:base",
        "TITLE": "clickseg",
        "VERSION": "2.1",
    }
    assert set(arguments) <= set(re.findall(r"^ARG (\w+)", call["dockerfile"], re.MULTILINE))
    assert call["words"][call["words"].index("--tag") + 1] == "x/clickseg:1"


def test_each_target_has_a_default_base_image_and_that_of_cpu_is_the_dockerfiles(docker: FakeProgram) -> None:
    package(docker, "-t", "clickseg")
    package(docker, "-t", "clickseg", "--target", "gpu")

    cpu, gpu = (build_arguments(call) for call in docker.calls("build"))
    assert (cpu["TARGET"], cpu.get("BASE_IMAGE")) == ("cpu", None)
    assert (gpu["TARGET"], gpu["BASE_IMAGE"]) == ("gpu", "nvcr.io/nvidia/pytorch:26.07-py3")


def test_the_models_are_those_that_were_named(docker: FakeProgram, tmp_path: Path) -> None:
    models = runs.write_model(tmp_path / "models", "first")
    runs.write_model(models, "second")

    package(docker, "-t", "one", "-m", models / "first")
    package(docker, "-t", "two", "--model", models)
    package(docker, "-t", "none", "--no-models")

    held = [
        {name.split("/")[1] for name in call["files"] if name.startswith("models/")} for call in docker.calls("build")
    ]
    assert held == [{"first"}, {"first", "second"}, set()]


def test_a_model_that_cannot_be_used_is_refused_before_anything_is_built(docker: FakeProgram, tmp_path: Path) -> None:
    models = runs.write_model(tmp_path / "models")
    (models / "thresholder" / "configs" / "metadata.json").write_text("{}")

    ended = package(docker, "-t", "x", "-m", models / "thresholder")

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert docker.calls("build") == []


def test_the_image_is_written_as_a_tar_under_its_name(docker: FakeProgram, tmp_path: Path) -> None:
    ended = package(docker, "-t", "x/clickseg:cpu", "-o", tmp_path)

    assert ended.stdout.splitlines()[1] == f"tar      {tmp_path / 'x_clickseg_cpu.tar'}"
    assert (tmp_path / "x_clickseg_cpu.tar").read_bytes() == b"image"
    assert not list(tmp_path.glob("*.part"))


def test_wheels_are_in_the_context_so_that_no_index_is_asked(docker: FakeProgram, tmp_path: Path) -> None:
    (tmp_path / "numpy-2.4.6-cp311.whl").write_bytes(b"wheel")

    package(docker, "-t", "x", "--wheels", tmp_path, "--network", "none")

    (call,) = docker.calls("build")
    assert call["files"]["container/environment/wheels/numpy-2.4.6-cp311.whl"] == len(b"wheel")
    assert call["words"][call["words"].index("--network") + 1] == "none"


@pytest.mark.parametrize("words", [["-t", "Not A Tag"], ["nowhere", "-t", "x"], ["-t", "x", "--target", "tpu"]])
def test_wrong_use_builds_nothing(docker: FakeProgram, words: list[str]) -> None:
    ended = package(docker, *words)

    assert (ended.returncode, docker.calls("build")) == (2, [])


def test_an_option_of_monai_deploy_package_that_has_no_counterpart_is_an_error_that_names_it(
    docker: FakeProgram,
) -> None:
    ended = package(docker, "app", "-t", "x", "-c", "app.yaml", "--platform", "x86_64")

    assert (ended.returncode, docker.calls("build")) == (2, [])
    assert ended.stderr.splitlines()[-1].endswith("unrecognized arguments: -c app.yaml --platform x86_64")


def test_a_build_that_fails_is_one_error(docker: FakeProgram, tmp_path: Path) -> None:
    ended = package(docker, "-t", "x", "-o", tmp_path, FAKE_FAILURE="build", FAKE_CODE="7")

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "error: docker build failed with exit code 7: its messages are above"
    assert not list(tmp_path.glob("*.tar"))


def test_podman_does_where_there_is_no_docker(tmp_path: Path) -> None:
    podman = FakeProgram(tmp_path / "fake", "podman")

    assert package(podman, "-t", "x").returncode == 0
    assert len(podman.calls("build")) == 1


def test_without_either_there_is_one_error(tmp_path: Path) -> None:
    ended = runs.clickseg("package", "-t", "x", cwd=REPOSITORY, PATH=str(tmp_path))

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: neither docker nor podman is installed\n")
