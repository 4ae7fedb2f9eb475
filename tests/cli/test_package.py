"""``clickseg package``, with a fake docker that records its calls."""

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


def run_package(program: FakeProgram, *words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return runs.run_clickseg_process("package", *words, cwd=REPOSITORY, **{**program.environ, **environ})


def test_the_build_context_contains_only_the_application(docker: FakeProgram) -> None:
    result = run_package(docker, "-t", "clickseg:cpu")

    assert (result.returncode, result.stdout) == (0, "image    clickseg:cpu\n"), result.stderr
    (call,) = docker.calls("build")
    folders = {name.partition("/")[0] for name in call["files"]}
    assert folders == {
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


def find_build_arguments(call: dict[str, object]) -> dict[str, str]:
    words = call["words"]
    assert isinstance(words, list)
    return dict(word.split("=", 1) for option, word in pairwise(words) if option == "--build-arg")


def test_target_and_base_image_are_build_arguments(docker: FakeProgram) -> None:
    run_package(docker, "-t", "x/clickseg:1", "--target", "gpu", "-b", "local:base", "--version", "2.1")

    (call,) = docker.calls("build")
    arguments = find_build_arguments(call)
    assert {name: arguments[name] for name in ("TARGET", "BASE_IMAGE", "TITLE", "VERSION")} == {
        "TARGET": "gpu",
        "BASE_IMAGE": "local:base",
        "TITLE": "clickseg",
        "VERSION": "2.1",
    }
    assert set(arguments) <= set(re.findall(r"^ARG (\w+)", call["dockerfile"], re.MULTILINE))
    assert call["words"][call["words"].index("--tag") + 1] == "x/clickseg:1"


def test_only_the_gpu_target_overrides_the_base_image_of_the_dockerfile(docker: FakeProgram) -> None:
    run_package(docker, "-t", "clickseg")
    run_package(docker, "-t", "clickseg", "--target", "gpu")

    cpu, gpu = (find_build_arguments(call) for call in docker.calls("build"))
    assert (cpu["TARGET"], cpu.get("BASE_IMAGE")) == ("cpu", None)
    assert (gpu["TARGET"], gpu["BASE_IMAGE"]) == ("gpu", "nvcr.io/nvidia/pytorch:26.07-py3")


def test_the_image_contains_the_given_models(docker: FakeProgram, tmp_path: Path) -> None:
    models = runs.write_model(tmp_path / "models", "first")
    runs.write_model(models, "second")

    run_package(docker, "-t", "one", "-m", models / "first")
    run_package(docker, "-t", "two", "--model", models)
    run_package(docker, "-t", "none", "--no-models")

    models_of_calls = [
        {name.split("/")[1] for name in call["files"] if name.startswith("models/")} for call in docker.calls("build")
    ]
    assert models_of_calls == [{"first"}, {"first", "second"}, set()]


def test_an_invalid_model_is_rejected_before_the_build(docker: FakeProgram, tmp_path: Path) -> None:
    models = runs.write_model(tmp_path / "models")
    (models / "thresholder" / "configs" / "metadata.json").write_text("{}")

    result = run_package(docker, "-t", "x", "-m", models / "thresholder")

    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert docker.calls("build") == []


def test_the_image_is_saved_as_a_tar_archive(docker: FakeProgram, tmp_path: Path) -> None:
    result = run_package(docker, "-t", "x/clickseg:cpu", "-o", tmp_path)

    assert result.stdout.splitlines()[1] == f"tar      {tmp_path / 'x_clickseg_cpu.tar'}"
    assert (tmp_path / "x_clickseg_cpu.tar").read_bytes() == b"image"
    assert not list(tmp_path.glob("*.part"))


def test_wheels_are_copied_into_the_build_context(docker: FakeProgram, tmp_path: Path) -> None:
    (tmp_path / "numpy-2.4.6-cp311.whl").write_bytes(b"wheel")

    run_package(docker, "-t", "x", "--wheels", tmp_path, "--network", "none")

    (call,) = docker.calls("build")
    assert call["files"]["container/environment/wheels/numpy-2.4.6-cp311.whl"] == len(b"wheel")
    assert call["words"][call["words"].index("--network") + 1] == "none"


@pytest.mark.parametrize("words", [["-t", "Not A Tag"], ["nowhere", "-t", "x"], ["-t", "x", "--target", "tpu"]])
def test_a_usage_error_starts_no_build(docker: FakeProgram, words: list[str]) -> None:
    result = run_package(docker, *words)

    assert (result.returncode, docker.calls("build")) == (2, [])


def test_an_option_of_monai_deploy_package_without_counterpart_is_rejected_by_name(
    docker: FakeProgram,
) -> None:
    result = run_package(docker, "app", "-t", "x", "-c", "app.yaml", "--platform", "x86_64")

    assert (result.returncode, docker.calls("build")) == (2, [])
    assert result.stderr.splitlines()[-1].endswith("unrecognized arguments: -c app.yaml --platform x86_64")


def test_a_failed_build_is_one_error(docker: FakeProgram, tmp_path: Path) -> None:
    result = run_package(docker, "-t", "x", "-o", tmp_path, FAKE_FAILURE="build", FAKE_CODE="7")

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "error: docker build failed with exit code 7: see its messages above"
    assert not list(tmp_path.glob("*.tar"))


def test_podman_is_used_if_docker_is_not_installed(tmp_path: Path) -> None:
    podman = FakeProgram(tmp_path / "fake", "podman")

    assert run_package(podman, "-t", "x").returncode == 0
    assert len(podman.calls("build")) == 1


def test_without_docker_and_podman_there_is_one_error(tmp_path: Path) -> None:
    result = runs.run_clickseg("package", "-t", "x", cwd=REPOSITORY, PATH=str(tmp_path))

    assert result.returncode == 1
    assert result.stderr.startswith("error: neither docker nor podman is installed\n")
