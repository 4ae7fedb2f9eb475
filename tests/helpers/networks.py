"""Packages of networks with random weights; each is made once per process, and copied."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from clickseg.inference.engines.network import build_network
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.weights_files import write_weight_digests
from tests.helpers import phantoms
from tests.helpers.oracles import torch

NETWORK = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 3,
    "in_channels": 3,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
}
SECTION = phantoms.metadata(guidance=phantoms.GUIDANCE)


def make_package(
    folder: Path, network: dict[str, object] = NETWORK, section: dict[str, object] = SECTION
) -> ModelPackage:
    """Makes a package with random weights for torch."""
    return _copy(_make_package(json.dumps(network), json.dumps(section)), folder)


def make_exported_package(
    folder: Path, network: dict[str, object] = NETWORK, section: dict[str, object] = SECTION
) -> ModelPackage:
    """Makes the same package with weights for torch and OpenVINO."""
    return _copy(_make_exported_package(json.dumps(network), json.dumps(section)), folder)


@cache
def _make_package(network: str, section: str) -> Path:
    folder = _new_folder()
    phantoms.write_package(folder, json.loads(section), json.loads(network))
    torch.manual_seed(5)
    torch.save(build_network(load_package(folder)).state_dict(), folder / "models" / "model.pt")
    write_weight_digests(load_package(folder), ("model.pt",))
    return folder


@cache
def _make_exported_package(network: str, section: str) -> Path:
    from clickseg.inference.engines.export import export_openvino  # not installed where tests run on a GPU

    package = _copy(_make_package(network, section), _new_folder())
    export_openvino(package)
    return package.path


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="clickseg-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "package"


def _copy(original: Path, folder: Path) -> ModelPackage:
    shutil.copytree(original, folder, dirs_exist_ok=True)
    return load_package(folder)
