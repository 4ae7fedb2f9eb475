"""The two manifests of a MONAI Application Package.

``app.json`` describes the application: its command, environment, input and output. ``pkg.json`` describes the package:
its models and the resources that it requires.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from clickseg.models.find import ModelPath, list_packages

APPLICATION_ROOT = "/opt/holoscan/app"
MODEL_ROOT = "/opt/holoscan/models"
WORK_FOLDER = "/var/holoscan"
ENVIRONMENT = {
    "HOLOSCAN_APPLICATION": APPLICATION_ROOT,
    "HOLOSCAN_INPUT_PATH": f"{WORK_FOLDER}/input",
    "HOLOSCAN_OUTPUT_PATH": f"{WORK_FOLDER}/output",
    "HOLOSCAN_WORKDIR": WORK_FOLDER,
    "HOLOSCAN_MODEL_PATH": MODEL_ROOT,
    "HOLOSCAN_CONFIG_PATH": "/etc/holoscan/app.yaml",
    "HOLOSCAN_APP_MANIFEST_PATH": "/etc/holoscan/app.json",
    "HOLOSCAN_PKG_MANIFEST_PATH": "/etc/holoscan/pkg.json",
    "HOLOSCAN_DOCS": "/opt/holoscan/docs",
    "HOLOSCAN_DOCS_PATH": "/opt/holoscan/docs",
    "HOLOSCAN_LOGS": f"{WORK_FOLDER}/logs",
    "HOLOSCAN_LOGS_PATH": f"{WORK_FOLDER}/logs",
}
_API = "1.0.0"
_SDK = "4.0.0"
_CPUS, _MEMORY = 2, "4Gi"


def application_manifest(version: str) -> dict[str, object]:
    """Returns the content of ``app.json``.

    Args:
        version: The version of the application.
    """
    return {
        "apiVersion": _API,
        "type": "application",
        "command": json.dumps(["python3", APPLICATION_ROOT]),  # MONAI Deploy tools expect a JSON list in a string
        "environment": ENVIRONMENT,
        "workingDirectory": WORK_FOLDER,
        "input": {"path": "input", "formats": ["DICOM", "JSON"]},
        "output": {"path": "output", "formats": ["DICOM", "JSON", "PNG"]},
        "readiness": None,
        "liveness": None,
        "timeout": 0,
        "sdk": "monai-deploy",
        "sdkVersion": _SDK,
        "version": version,
    }


def package_manifest(version: str, models: Iterable[str], gpus: int) -> dict[str, object]:
    """Returns the content of ``pkg.json``.

    Args:
        version: The version of the application.
        models: The names of the model packages (folders or files) in ``MODEL_ROOT``.
        gpus: The number of GPUs that the application requires.
    """
    return {
        "apiVersion": _API,
        "applicationRoot": APPLICATION_ROOT,
        "modelRoot": MODEL_ROOT,
        "models": [{"name": Path(model).stem, "path": f"{MODEL_ROOT}/{model}"} for model in sorted(models)],
        "resources": {"cpu": _CPUS, "gpu": gpus, "memory": _MEMORY},
        "platformConfig": "dgpu" if gpus else None,
        "version": version,
    }


def write_manifests(models: Path, folder: Path, version: str, target: str) -> None:
    """Writes ``app.json`` and ``pkg.json``.

    Args:
        models: The folder of model packages. It may be empty: models are then mounted when the image runs.
        folder: The folder for the manifests.
        version: The version of the application.
        target: ``cpu`` or ``gpu``.

    Raises:
        ModelError: A model package is invalid.
    """
    is_empty = not any(models.iterdir())
    packages, errors = ((), ()) if is_empty else list_packages((ModelPath(models, is_required=True),))
    if errors:
        raise errors[0]
    names = [package.path.name for package in packages]
    contents = {
        "app.json": application_manifest(version),
        "pkg.json": package_manifest(version, names, gpus=1 if target == "gpu" else 0),
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    write_manifests(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
