"""The image ``cpu``, run as in a hospital: as an arbitrary user, read-only, without network and capabilities."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.helpers import runs
from tests.helpers.containers import LEAST_RIGHTS, require_nvidia_runtime, run_arguments, run_docker


def test_the_container_writes_the_same_bytes_as_a_run_outside(
    cpu_image: str, study: Path, out: Path, tmp_path: Path
) -> None:
    inside = run_docker(*run_arguments(cpu_image, study, out))
    outside = runs.run_clickseg_process("segment", study, "-o", tmp_path / "outside", CLICKSEG_METADATA="1")

    assert (inside.returncode, outside.returncode) == (0, 0), inside.stderr
    assert runs.read_result_files(out) == runs.read_result_files(tmp_path / "outside")
    assert {path.stat().st_uid for path in out.iterdir()} == {12345}


def test_the_container_writes_the_same_bytes_as_a_run_outside_on_real_pet(
    cpu_image: str, fixtures: Path, out: Path, tmp_path: Path
) -> None:
    series = fixtures / "petct_ibsi" / "STS_002"

    inside = run_docker(*run_arguments(cpu_image, series, out))
    outside = runs.run_clickseg_process("segment", series, "-o", tmp_path / "outside", CLICKSEG_METADATA="1")

    assert (inside.returncode, outside.returncode) == (0, 0), inside.stderr
    assert runs.read_result_files(out) == runs.read_result_files(tmp_path / "outside")


def test_a_broken_series_leaves_metadata_and_no_dicom(cpu_image: str, study: Path, out: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(study, tmp_path / "broken")
    for folder in [path for path in broken.iterdir() if path.is_dir()]:
        sorted(folder.iterdir())[4].unlink()

    ended = run_docker(*run_arguments(cpu_image, broken, out))

    assert ended.returncode == 1
    assert [path.name for path in out.iterdir()] == ["metadata.json"]
    metadata = json.loads((out / "metadata.json").read_text())
    assert metadata["exception"] == "InputError"
    assert "missing slice" in metadata["exception_message"]


def test_docker_stop_during_inference_leaves_metadata_and_no_dicom(cpu_image: str, out: Path, tmp_path: Path) -> None:
    series = runs.write_input(tmp_path / "in")
    models = runs.write_slow_model(tmp_path / "models")
    arguments = run_arguments(
        cpu_image, series, out, "-v", f"{models}:/opt/holoscan/models:ro", "--name", "clickseg-test-stop"
    )

    run = subprocess.Popen(["docker", *map(str, arguments)], stderr=subprocess.PIPE, text=True)  # noqa: S607
    runs.wait_until_running(out)
    run_docker("stop", "--time", "20", "clickseg-test-stop")
    _, errors = run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted"
    assert [path.name for path in out.iterdir()] == ["metadata.json"]
    assert json.loads((out / "metadata.json").read_text())["exception"] == "Interrupted"


def test_show_prints_the_manifests(cpu_image: str) -> None:
    app, package, both = (
        run_docker("run", "--rm", *LEAST_RIGHTS, cpu_image, "show", *name) for name in (["app"], ["pkg"], [])
    )

    assert json.loads(json.loads(app.stdout)["command"]) == ["python3", "/opt/holoscan/app"]
    models = [{"name": name, "path": f"/opt/holoscan/models/{name}"} for name in ("lesion", "pet_lesion")]
    assert json.loads(package.stdout)["models"] == models
    assert "= app.json =" in both.stdout
    assert "= pkg.json =" in both.stdout
    assert run_docker("run", "--rm", cpu_image, "show", "other").returncode == 2


def test_extract_copies_the_contents_to_the_mounted_folders(cpu_image: str, out: Path, tmp_path: Path) -> None:
    complete = run_docker("run", "--rm", *LEAST_RIGHTS, "-v", f"{out}:/var/run/holoscan/export", cpu_image, "extract")
    models = tmp_path / "models"
    models.mkdir()
    models.chmod(0o777)
    only_models = run_docker(
        "run", "--rm", *LEAST_RIGHTS, "-v", f"{models}:/var/run/holoscan/export/models", cpu_image, "extract"
    )
    unmounted = run_docker("run", "--rm", *LEAST_RIGHTS, cpu_image, "extract")

    assert (complete.returncode, only_models.returncode, unmounted.returncode) == (0, 0, 1), complete.stderr
    assert {path.name for path in out.iterdir()} == {"app", "config", "docs", "models"}
    assert {path.name for path in (out / "config").iterdir()} == {"app.json", "app.yaml", "pkg.json"}
    assert (out / "app" / "clickseg" / "cli" / "main.py").is_file()
    assert {path.name for path in models.iterdir()} == {"lesion", "pet_lesion"}
    assert unmounted.stderr.startswith("error: no folder is mounted at /var/run/holoscan/export")


def test_labels_and_bill_of_materials_describe_the_image(cpu_image: str) -> None:
    (image,) = json.loads(run_docker("image", "inspect", cpu_image).stdout)
    bill = json.loads(run_docker("run", "--rm", "--entrypoint", "cat", cpu_image, "/etc/holoscan/sbom.cdx.json").stdout)
    labels = image["Config"]["Labels"]
    names = {component["name"].lower() for component in bill["components"]}

    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert bill["bomFormat"] == "CycloneDX"
    assert {"openvino", "highdicom", "monai-deploy-app-sdk"} <= names
    assert names & {"torch", "monai", "cupy-cuda13x", "pip"} == set()
    assert image["Config"]["User"] not in ("", "0", "root")
    sys.stdout.write(f"\nimage cpu: {image['Size'] / 1e9:.2f} GB\n")
    assert image["Size"] <= 1.4e9


def test_clickseg_run_writes_the_same_bytes_and_the_caller_owns_the_files(
    cpu_image: str, study: Path, tmp_path: Path
) -> None:
    command = ["python", runs.REPOSITORY / "app", "-i", study, "-o", tmp_path / "outside"]

    outside = runs.run_process(command, CLICKSEG_METADATA="1")
    inside = runs.run_clickseg_process("run", cpu_image, study, tmp_path / "inside")

    assert (outside.returncode, inside.returncode) == (0, 0), inside.stderr
    assert inside.stderr.startswith(f"running {cpu_image} on {study} with docker\n")
    assert runs.read_result_files(tmp_path / "inside") == runs.read_result_files(tmp_path / "outside")
    assert {path.stat().st_uid for path in (tmp_path / "inside").iterdir()} == {os.getuid()}


def test_clickseg_run_forwards_an_interruption(cpu_image: str, tmp_path: Path) -> None:
    series, models = runs.write_input(tmp_path / "in"), runs.write_slow_model(tmp_path / "models")
    command = [Path(sys.executable).with_name("clickseg"), "run", cpu_image, series, tmp_path / "out", "-m", models]

    run = subprocess.Popen(list(map(str, command)), env=runs.environment(), stderr=subprocess.PIPE, text=True)
    runs.wait_until_running(tmp_path / "out")
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate(timeout=runs.HANG_S)

    assert run.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metadata.json"]


def test_clickseg_run_without_the_image_gives_one_error(study: Path, tmp_path: Path) -> None:
    ended = runs.run_clickseg_process("run", "clickseg-test/absent:1", study, tmp_path / "out")

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: no image clickseg-test/absent:1 on this machine\n")


def test_it_runs_under_monai_deploy_run(cpu_image: str, study: Path, out: Path, tmp_path: Path) -> None:
    """holoscan-cli needs a runtime with the name nvidia, nvidia-smi, buildx and a network; the test provides stubs."""
    require_nvidia_runtime()
    tools = tmp_path / "tools"
    plugins = tmp_path / ".docker" / "cli-plugins"
    for folder, name in ((tools, "nvidia-smi"), (plugins, "docker-buildx")):
        folder.mkdir(parents=True)
        (folder / name).write_text("#!/bin/sh\nexit 0\n")
        (folder / name).chmod(0o755)
    runner = Path(sys.executable).with_name("monai-deploy")
    command = [
        runner,
        "run",
        cpu_image,
        "-i",
        study,
        "-o",
        out,
        "--network",
        "none",
        "--uid",
        "12345",
        "--gid",
        "12345",
    ]

    ended = runs.run_process(command, HOME=str(tmp_path), PATH=f"{tools}:{os.environ['PATH']}")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (out / "report.json").is_file()
    assert len(list(out.glob("*.dcm"))) == 2
