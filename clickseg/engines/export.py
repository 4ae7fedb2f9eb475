"""Converting a package's torch weights for another runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clickseg.engines.weights_files import save_openvino
from clickseg.errors import ModelError
from clickseg.models.package import ModelPackage


def export_openvino(package: ModelPackage) -> tuple[Path, ...]:
    """Writes ``model.xml`` and ``model.bin`` (f32) beside a package's ``model.pt``, and their SHA-256 to its metadata.

    Returns:
        The files that were written.

    Raises:
        ModelError: The package is no folder, or its weights do not fit.
        OutputError: The package cannot be written to.
    """
    import openvino as ov
    import torch

    from clickseg.engines.openvino_engine import GRAPH
    from clickseg.engines.torch_engine import load_state

    if not package.path.is_dir():
        raise ModelError(f"model {package.name}: expected a bundle folder, got the file {package.path.name}")
    example = np.zeros((1, package.spec.input_channels, *package.spec.window.roi), dtype=np.float32)
    network = load_state(package).eval()
    converted = ov.convert_model(network, example_input=torch.from_numpy(example), input=list(example.shape))
    return save_openvino(converted, package, GRAPH)
