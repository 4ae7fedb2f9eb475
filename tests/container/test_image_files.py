"""The files that the image is built from agree with each other and with the requirements."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clickseg import __version__
from clickseg.cli.manifests import ENVIRONMENT, application_manifest, package_manifest, write_manifests
from clickseg.cli.package import read_source_revision, web_address
from tests.helpers import runs
from tests.helpers.runs import REPOSITORY

LOCKS = REPOSITORY / "container" / "environment" / "locks"
GIT = shutil.which("git") or "git"
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def pins(text: str) -> set[tuple[str, str]]:
    """The normalized names and the versions in a requirements or lock file."""
    matches = re.findall(r"^([\w.-]+)==([\w.+]+)", text, re.MULTILINE)
    return {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in matches}


def read_names(path: Path) -> set[str]:
    return {line for line in path.read_text().split("\n") if line and not line.startswith("#")}


@pytest.mark.parametrize(("lock", "requirements"), [("cpu", ["-cpu"]), ("gpu", ["-cpu", ""])])
def test_a_lock_file_contains_the_versions_of_the_requirements(lock: str, requirements: list[str]) -> None:
    required = {pin for name in requirements for pin in pins((REPOSITORY / f"requirements{name}.txt").read_text())}
    excluded = read_names(LOCKS / f"{lock}.exclude")

    locked = pins((LOCKS / f"{lock}.txt").read_text())

    assert {pin for pin in required if pin[0] not in excluded} <= locked
    assert excluded & {name for name, _ in locked} == set()


def test_torch_for_base_images_without_it_has_the_version_of_the_requirements() -> None:
    (torch,) = [pin for pin in pins((REPOSITORY / "requirements.txt").read_text()) if pin[0] == "torch"]

    assert torch in pins((LOCKS / "torch.in").read_text())
    assert torch in pins((LOCKS / "torch.txt").read_text())


@pytest.mark.parametrize("name", ["cpu", "gpu", "torch", "tools"])
def test_each_locked_version_has_hashes(name: str) -> None:
    entries = re.split(r"^(?=[\w.-]+==)", (LOCKS / f"{name}.txt").read_text(), flags=re.MULTILINE)[1:]

    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_cpu_image_contains_no_torch_monai_core_and_cupy() -> None:
    names = {name for name, _ in pins((LOCKS / "cpu.txt").read_text())}

    assert names & {"torch", "monai", "cupy-cuda13x"} == set()
    assert {"openvino", "monai-deploy-app-sdk", "holoscan-cu13"} <= names


def test_the_environment_variables_of_the_image_are_those_of_its_manifest() -> None:
    for name, value in ENVIRONMENT.items():
        assert DOCKERFILE.count(f"{name}={value} ") == 1, name


def test_the_default_version_of_the_image_is_the_present_version() -> None:
    assert set(re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.M)) == {__version__}


def test_the_dockerfile_needs_no_buildkit() -> None:
    assert not re.search(r"^#\s*syntax|--mount|--link|--chmod|<<", DOCKERFILE, re.M)


def test_each_stage_declares_the_arguments_that_it_uses() -> None:
    """An argument before the first FROM is empty in a stage that does not declare it again; no builder reports this."""
    preamble, *stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)

    for stage in stages:
        base, _, body = stage.partition("\n")
        assert set(re.findall(r"\$\{?(\w+)", base)) <= set(re.findall(r"^ARG (\w+)=", preamble, re.MULTILINE))
        assert set(re.findall(r"\$\{?(\w+)", body)) - {"PATH"} <= set(re.findall(r"^ARG (\w+)", body, re.MULTILINE))


def test_an_unknown_target_fails_the_build(tmp_path: Path) -> None:
    script = REPOSITORY / "container" / "environment" / "install-python"

    ended = subprocess.run(["/bin/sh", script, "tpu"], env={"PATH": str(tmp_path)}, capture_output=True, text=True)

    assert ended.returncode == 2
    assert ended.stderr == "error: TARGET is tpu: expected cpu or gpu\n"


def test_the_package_manifest_lists_its_models_as_an_array(tmp_path: Path) -> None:
    runs.write_model(tmp_path / "models", "second")
    models = runs.write_model(tmp_path / "models", "first")

    write_manifests(models, tmp_path, "1.2", "gpu")

    manifest = json.loads((tmp_path / "pkg.json").read_text())
    assert manifest["models"] == [
        {"name": "first", "path": "/opt/holoscan/models/first"},
        {"name": "second", "path": "/opt/holoscan/models/second"},
    ]
    assert manifest["resources"]["gpu"] == 1
    assert package_manifest("1.2", [], gpus=0)["resources"] == {"cpu": 2, "gpu": 0, "memory": "4Gi"}


def test_an_image_without_models_has_an_empty_array(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()

    write_manifests(tmp_path / "models", tmp_path, "1.2", "cpu")

    assert json.loads((tmp_path / "pkg.json").read_text())["models"] == []


def test_the_application_manifest_contains_the_fields_of_the_specification() -> None:
    manifest = application_manifest("1.2")

    assert json.loads(str(manifest["command"])) == ["python3", "/opt/holoscan/app"]
    assert manifest["type"] == "application"
    assert manifest["input"] == {"path": "input", "formats": ["DICOM", "JSON"]}
    assert manifest["version"] == "1.2"


def test_labels_contain_the_commit_and_no_password(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(
            [GIT, *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("remote", "add", "origin", "https://user:secret@example.org/x.git")
    commit = git("rev-parse", "HEAD").strip()

    clean = read_source_revision(tmp_path)
    (tmp_path / "new").write_text("")

    assert (clean.revision, clean.url) == (commit, "https://example.org/x.git")
    assert read_source_revision(tmp_path).revision == f"{commit}-dirty"
    assert web_address("git@example.org:x.git") == ""


def run_keep_base(folder: Path, installed: dict[str, str], constraint: str = "") -> subprocess.CompletedProcess[str]:
    """Runs ``select`` of keep_base.py with a Python that finds the given packages and pip."""
    for name, version in installed.items():
        info = folder / "site" / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "constraint.txt").write_text(constraint)
    script = folder / "keep_base.py"
    script.write_text((LOCKS.parent / "keep_base.py").read_text())
    (folder / "pyproject.toml").write_text((REPOSITORY / "pyproject.toml").read_text())
    code = f"import sys; sys.path[:0] = [{str(folder / 'site')!r}]; "
    code += f"sys.argv = ['x', 'select', {str(LOCKS)!r}, 'selected']; "
    code += "import importlib.metadata as m; original = m.distributions; "
    code += f"m.distributions = lambda: original(path=[{str(folder / 'site')!r}]); "
    code += f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    environ = {"PIP_CONSTRAINT": str(folder / "constraint.txt")}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environ, capture_output=True, text=True)


def test_torch_and_constrained_packages_of_the_base_image_are_kept(tmp_path: Path) -> None:
    base = {"torch": "2.13.0a0+1b2c", "numpy": "2.3.1", "scipy": "1.16.0"}

    ended = run_keep_base(tmp_path, base, "numpy==2.3.1\ntorch==2.13.0a0+1b2c\nabsent==1.0\n")

    names = {name for name, _ in pins((tmp_path / "selected").read_text())}
    assert ended.stdout == "kept from the base image: numpy 2.3.1, torch 2.13.0a0+1b2c\n", ended.stderr
    assert names & {"torch", "numpy", "nvidia-cublas"} == set()
    assert {"scipy", "highdicom", "monai"} <= names


def test_a_base_image_without_torch_gets_it_from_the_lock_file(tmp_path: Path) -> None:
    ended = run_keep_base(tmp_path, {})

    assert ended.returncode == 0, ended.stderr
    assert {"torch", "nvidia-cublas", "highdicom"} <= {name for name, _ in pins((tmp_path / "selected").read_text())}


@pytest.mark.parametrize(("name", "version"), [("torch", "2.10.0"), ("numpy", "1.26.4")])
def test_a_base_image_with_an_incompatible_kept_package_is_rejected(tmp_path: Path, name: str, version: str) -> None:
    ended = run_keep_base(tmp_path, {"torch": "2.13.0", name: version}, f"{name}=={version}\n")

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: the base image has {name} {version}, and clickseg needs {name}>=")
    assert not (tmp_path / "selected").exists()
