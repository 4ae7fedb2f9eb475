"""``clickseg run``, with a fake docker that records its calls."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from clickseg.cli.container_program import ContainerProgram
from clickseg.cli.run_image import ContainerRun, container_command
from tests.helpers import runs
from tests.helpers.fake_program import FakeProgram


@pytest.fixture
def docker(tmp_path: Path) -> FakeProgram:
    return FakeProgram(tmp_path / "fake")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "a study, of one"
    folder.mkdir()
    return folder


def run_image(program: FakeProgram, *words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return runs.run_clickseg("run", *words, **{**program.environ, **environ})


def find_run_arguments(program: FakeProgram) -> list[str]:
    (call,) = program.calls("run")
    return call["words"]


def option_values(words: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(words) if name == option]


def test_the_container_has_only_the_rights_that_it_needs(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    result = run_image(docker, "clickseg:cpu", study, tmp_path / "out")

    words = find_run_arguments(docker)
    assert result.returncode == 0
    assert {"--rm", "--read-only"} <= set(words)
    assert option_values(words, "--network") == ["none"]
    assert option_values(words, "--cap-drop") == ["ALL"]
    assert option_values(words, "--tmpfs") == ["/tmp"]  # noqa: S108
    assert option_values(words, "--security-opt") == ["no-new-privileges"]
    assert option_values(words, "--user") == [f"{os.getuid()}:{os.getgid()}"]
    assert option_values(words, "--gpus") == []
    assert words[-1] == "clickseg:cpu"


def test_only_the_output_folder_is_writable(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    run_image(docker, "i", study, tmp_path / "out")

    assert option_values(find_run_arguments(docker), "--mount") == [
        f'type=bind,"src={study}",dst=/var/holoscan/input,readonly',
        f"type=bind,src={tmp_path / 'out'},dst=/var/holoscan/output",
    ]


def test_settings_are_passed_to_the_container_except_paths(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    run_image(
        docker, "i", study, tmp_path / "out", CLICKSEG_DEVICE="cpu", CLICKSEG_CACHE="/here", CLICKSEG_MODELS="/here"
    )

    assert option_values(find_run_arguments(docker), "--env") == ["CLICKSEG_DEVICE=cpu", "SOURCE_DATE_EPOCH=1700000000"]


def test_several_click_files_are_mounted_with_their_names(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clicks.json").write_text("{}")

    files = [tmp_path / folder / "clicks.json" for folder in ("a", "b")]
    run_image(docker, "i", study, tmp_path / "out", "--clicks", files[0], "--clicks", files[1])

    words = find_run_arguments(docker)
    assert "CLICKSEG_CLICKS=/mnt/clicks/0/clicks.json:/mnt/clicks/1/clicks.json" in option_values(words, "--env")
    assert f"type=bind,src={files[1]},dst=/mnt/clicks/1/clicks.json,readonly" in option_values(words, "--mount")


def test_clicks_none_mounts_no_file(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    run_image(docker, "i", study, tmp_path / "out", "--clicks", "none")

    assert "CLICKSEG_CLICKS=none" in option_values(find_run_arguments(docker), "--env")
    assert len(option_values(find_run_arguments(docker), "--mount")) == 2


def test_gpus_are_passed_to_docker(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    run_image(docker, "i", study, tmp_path / "out", "--gpus", "all")

    assert option_values(find_run_arguments(docker), "--gpus") == ["all"]


def test_the_exit_code_is_that_of_the_container(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    result = run_image(docker, "i", study, tmp_path / "out", FAKE_FAILURE="run", FAKE_CODE="3")

    assert result.returncode == 3
    assert not (tmp_path / "out").exists()


def test_a_container_that_does_not_start_is_one_error(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    result = run_image(docker, "i", study, tmp_path / "out", FAKE_FAILURE="run", FAKE_CODE="125")

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "error: docker could not start the container: see its message above"


def test_a_missing_image_is_one_error(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    result = run_image(docker, "absent:1", study, tmp_path / "out", FAKE_MISSING="absent:1")

    assert result.returncode == 1
    assert result.stderr.startswith("error: no image absent:1 on this machine\nhint: ")
    assert docker.calls("run") == []
    assert not (tmp_path / "out").exists()


def test_a_docker_service_that_is_not_running_is_one_error(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    result = run_image(docker, "i", study, tmp_path / "out", FAKE_FAILURE="image")

    assert result.returncode == 1
    assert result.stderr == "error: docker cannot be used: Cannot connect to the Docker daemon\n"


def test_a_missing_input_folder_is_one_error(docker: FakeProgram, tmp_path: Path) -> None:
    result = run_image(docker, "i", tmp_path / "absent", tmp_path / "out")

    assert result.returncode == 1
    assert result.stderr == f"error: no such file or folder: {tmp_path / 'absent'}\n"
    assert docker.calls("run") == []


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_on_windows_the_container_runs_as_the_user_of_the_image_and_separates_paths_by_colons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(os, "pathsep", ";")
    job = ContainerRun("i", tmp_path, tmp_path, user=None, clicks=("a.json", "b.json"))

    words = container_command(ContainerProgram(name, name), job, {})

    assert not {"--user", "--userns"} & set(words)
    assert "CLICKSEG_CLICKS=/mnt/clicks/0/a.json:/mnt/clicks/1/b.json" in words


def test_podman_keeps_the_user_id_of_the_caller(tmp_path: Path, study: Path) -> None:
    podman = FakeProgram(tmp_path / "podman", "podman")

    run_image(podman, "i", study, tmp_path / "out", "--gpus", "all")

    words = find_run_arguments(podman)
    assert ("keep-id" in option_values(words, "--userns")) is (os.getuid() != 0)
    assert option_values(words, "--device") == ["nvidia.com/gpu=all"]


def test_the_progress_bar_is_shown_in_a_pipe_on_request(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")
    words = ["segment", study, "-m", models, "-o"]

    silent = runs.run_clickseg(*words, tmp_path / "silent")
    shown = runs.run_clickseg(*words, tmp_path / "shown", CLICKSEG_PROGRESS="1")

    assert "window" not in silent.stderr
    assert "window" in shown.stderr


def test_a_model_package_is_used_and_not_those_of_the_image(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    models = runs.write_model(tmp_path / "models")

    run_image(docker, "i", study, tmp_path / "out", "-m", models / "thresholder")
    words = find_run_arguments(docker)

    mount = f"type=bind,src={models / 'thresholder'},dst=/mnt/model/thresholder,readonly"
    assert mount in option_values(words, "--mount")
    assert "CLICKSEG_MODELS=/mnt/model/thresholder" in option_values(words, "--env")


def test_a_folder_of_packages_replaces_those_of_the_image(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    models = runs.write_model(tmp_path / "models")

    run_image(docker, "i", study, tmp_path / "out", "-m", models)
    words = find_run_arguments(docker)

    assert f"type=bind,src={models},dst=/opt/holoscan/models,readonly" in option_values(words, "--mount")
    assert not [value for value in option_values(words, "--env") if value.startswith("CLICKSEG_MODELS")]
