"""Converting a package's torch weights for another runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from clickseg.digest import file_sha256
from clickseg.errors import ModelError
from clickseg.models.package import METADATA, ModelPackage
from clickseg.validation import read_json


def export_openvino(package: ModelPackage) -> tuple[Path, ...]:
    """Writes ``model.xml`` and ``model.bin`` (f32) beside a package's ``model.pt``, and their SHA-256 to its metadata.

    Returns:
        The files that were written.

    Raises:
        ModelError: The package is no folder, or its weights do not fit.
    """
    import openvino as ov
    import torch

    from clickseg.engines.torch_engine import load_state

    if not package.path.is_dir():
        raise ModelError(f"model {package.name}: expected a bundle folder, got the file {package.path.name}")
    example = np.zeros((1, package.spec.input_channels, *package.spec.window.roi), dtype=np.float32)
    network = load_state(package).eval()
    converted = ov.convert_model(network, example_input=torch.from_numpy(example), input=list(example.shape))
    folder = package.path / "models"
    ov.save_model(converted, folder / "model.xml", compress_to_fp16=False)
    names = ("model.xml", "model.bin")
    list_weights(package, names)
    return tuple(folder / name for name in names)


def list_weights(package: ModelPackage, names: tuple[str, ...]) -> None:
    """Writes the SHA-256 of weights files into the package's metadata."""
    path = package.path / METADATA
    metadata = read_json(path, ModelError)
    for name in names:
        metadata["clickseg"]["weights"][name] = file_sha256(package.path / "models" / name)
    path.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
