"""The image ``gpu`` on a base image with torch, like NVIDIA's; the base image has a CPU build of torch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers import runs
from tests.helpers.containers import run_arguments, run_docker
from tests.helpers.images import GPU_TAG, build_base_image, run_package_command

OLD_DRIVER = """
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
"""
PRINT_TORCH = "import torch; print(torch.__version__, torch.__file__)"


@pytest.fixture(scope="session")
def gpu_image(gpu_base: str) -> str:
    """The image ``gpu``; ``CLICKSEG_TEST_GPU_IMAGE`` names an existing image."""
    if "CLICKSEG_TEST_GPU_IMAGE" in os.environ:
        return os.environ["CLICKSEG_TEST_GPU_IMAGE"]
    ended = run_package_command(GPU_TAG, "--target", "gpu", "-b", gpu_base)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "kept from the base image: numpy 2.4.6, torch 2.13.0" in ended.stderr
    return GPU_TAG


def test_the_image_uses_the_torch_of_its_base_image(gpu_image: str, gpu_base: str) -> None:
    image = run_docker("run", "--rm", "--entrypoint", "python3", gpu_image, "-c", PRINT_TORCH)
    base = run_docker("run", "--rm", "--entrypoint", "python3", gpu_base, "-c", PRINT_TORCH)

    assert image.returncode == 0, image.stderr
    assert image.stdout == base.stdout
    assert "/opt/base/torch/" in image.stdout


def test_it_runs_on_a_machine_without_a_gpu(gpu_image: str, study: Path, out: Path, tmp_path: Path) -> None:
    inside = run_docker(*run_arguments(gpu_image, study, out))
    arguments = ["segment", study, "-o", tmp_path / "outside", "--device", "cpu", "--engine", "openvino"]
    outside = runs.run_clickseg_process(*arguments, CLICKSEG_METADATA="1")

    assert (inside.returncode, outside.returncode) == (0, 0), inside.stderr
    assert runs.read_result_files(out) == runs.read_result_files(tmp_path / "outside")


def test_an_old_driver_gives_one_error_line_with_both_versions(
    gpu_image: str, study: Path, out: Path, tmp_path: Path
) -> None:
    (tmp_path / "cuda.c").write_text(OLD_DRIVER)
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "cuda.c"], check=True)  # noqa: S607
    options = ["-v", f"{library}:/opt/driver/libcuda.so.1:ro", "-e", "LD_LIBRARY_PATH=/opt/driver"]

    ended = run_docker(*run_arguments(gpu_image, study, out, *options, "-e", "CLICKSEG_DEVICE=cuda"))

    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert line == "error: the GPU driver is too old: expected one for CUDA 13.0 or newer, got CUDA 12.4"
    assert "Traceback" not in ended.stderr
    assert [path.name for path in out.iterdir()] == ["metadata.json"]


def test_the_build_fails_if_pip_would_replace_torch(tmp_path: Path) -> None:
    old = tmp_path / "packages" / "torch-2.12.0.dist-info"  # only pip reads it
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.12.0\n")
    base = build_base_image(tmp_path, "clickseg-test/old-torch:1", ["torch==2.12.0"])

    ended = run_package_command("clickseg-test/never:1", "--target", "gpu", "-b", base)

    assert ended.returncode == 1
    assert "error: the base image has torch 2.12.0, and clickseg needs torch>=2.13" in ended.stderr
    assert "pip would replace it" in ended.stderr
    assert run_docker("image", "inspect", "clickseg-test/never:1").returncode != 0
