"""``clickseg run``, with a docker that only notes what it was asked for."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from clickseg.cli.container_program import ContainerProgram
from clickseg.cli.run_image import Job, run_command
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


def run(program: FakeProgram, *words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return runs.clickseg("run", *words, **{**program.environ, **environ})


def words_of(program: FakeProgram) -> list[str]:
    (call,) = program.calls("run")
    return call["words"]


def pairs(words: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(words) if name == option]


def test_the_container_gets_no_more_than_it_needs(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    ended = run(docker, "clickseg:cpu", study, tmp_path / "out")

    words = words_of(docker)
    assert ended.returncode == 0
    assert {"--rm", "--read-only"} <= set(words)
    assert pairs(words, "--network") == ["none"]
    assert pairs(words, "--cap-drop") == ["ALL"]
    assert pairs(words, "--tmpfs") == ["/tmp"]  # noqa: S108
    assert pairs(words, "--security-opt") == ["no-new-privileges"]
    assert pairs(words, "--user") == [f"{os.getuid()}:{os.getgid()}"]
    assert pairs(words, "--gpus") == []
    assert words[-1] == "clickseg:cpu"


def test_input_is_read_only_and_output_is_not(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    run(docker, "i", study, tmp_path / "out")

    assert pairs(words_of(docker), "--mount") == [
        f'type=bind,"src={study}",dst=/var/holoscan/input,readonly',
        f"type=bind,src={tmp_path / 'out'},dst=/var/holoscan/output",
    ]


def test_settings_hold_in_the_container_but_for_paths(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    run(docker, "i", study, tmp_path / "out", CLICKSEG_DEVICE="cpu", CLICKSEG_CACHE="/here", CLICKSEG_MODELS="/here")

    assert pairs(words_of(docker), "--env") == ["CLICKSEG_DEVICE=cpu", "SOURCE_DATE_EPOCH=1700000000"]


def test_click_files_keep_their_names_and_count_together(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clicks.json").write_text("{}")

    files = [tmp_path / folder / "clicks.json" for folder in ("a", "b")]
    run(docker, "i", study, tmp_path / "out", "--clicks", files[0], "--clicks", files[1])

    words = words_of(docker)
    assert "CLICKSEG_CLICKS=/mnt/clicks/0/clicks.json:/mnt/clicks/1/clicks.json" in pairs(words, "--env")
    assert f"type=bind,src={files[1]},dst=/mnt/clicks/1/clicks.json,readonly" in pairs(words, "--mount")


def test_no_clicks_are_no_file(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    run(docker, "i", study, tmp_path / "out", "--clicks", "none")

    assert "CLICKSEG_CLICKS=none" in pairs(words_of(docker), "--env")
    assert len(pairs(words_of(docker), "--mount")) == 2


def test_gpus_are_those_that_were_asked_for(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    run(docker, "i", study, tmp_path / "out", "--gpus", "all")

    assert pairs(words_of(docker), "--gpus") == ["all"]


def test_the_exit_code_is_the_containers(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    ended = run(docker, "i", study, tmp_path / "out", FAKE_FAILURE="run", FAKE_CODE="3")

    assert ended.returncode == 3
    assert not (tmp_path / "out").exists()


def test_a_container_that_does_not_start_is_one_error(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    ended = run(docker, "i", study, tmp_path / "out", FAKE_FAILURE="run", FAKE_CODE="125")

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "error: docker could not start the container: its message is above"


def test_an_image_that_is_not_there_is_one_error(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    ended = run(docker, "absent:1", study, tmp_path / "out", FAKE_MISSING="absent:1")

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: no image absent:1 on this machine\nhint: ")
    assert docker.calls("run") == []
    assert not (tmp_path / "out").exists()


def test_a_daemon_that_does_not_run_is_one_error(docker: FakeProgram, study: Path, tmp_path: Path) -> None:
    ended = run(docker, "i", study, tmp_path / "out", FAKE_FAILURE="image")

    assert ended.returncode == 1
    assert ended.stderr == "error: docker cannot be used: Cannot connect to the Docker daemon\n"


def test_what_is_not_there_is_not_mounted(docker: FakeProgram, tmp_path: Path) -> None:
    ended = run(docker, "i", tmp_path / "absent", tmp_path / "out")

    assert ended.returncode == 1
    assert ended.stderr == f"error: {tmp_path / 'absent'}: no such file or folder\n"
    assert docker.calls("run") == []


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_a_container_on_windows_runs_as_the_images_user_and_has_paths_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(os, "pathsep", ";")
    job = Job("i", tmp_path, tmp_path, user=None, clicks=("a.json", "b.json"))

    words = run_command(ContainerProgram(name, name), job, {})

    assert not {"--user", "--userns"} & set(words)
    assert "CLICKSEG_CLICKS=/mnt/clicks/0/a.json:/mnt/clicks/1/b.json" in words


def test_podman_keeps_the_callers_id(tmp_path: Path, study: Path) -> None:
    podman = FakeProgram(tmp_path / "podman", "podman")

    run(podman, "i", study, tmp_path / "out", "--gpus", "all")

    words = words_of(podman)
    assert ("keep-id" in pairs(words, "--userns")) is (os.getuid() != 0)
    assert pairs(words, "--device") == ["nvidia.com/gpu=all"]


def test_the_progress_bar_comes_through_a_pipe_when_it_is_asked_for(tmp_path: Path) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")
    words = ["segment", study, "-m", models, "-o"]

    silent = runs.clickseg(*words, tmp_path / "silent")
    shown = runs.clickseg(*words, tmp_path / "shown", CLICKSEG_PROGRESS="1")

    assert "window" not in silent.stderr
    assert "window" in shown.stderr
