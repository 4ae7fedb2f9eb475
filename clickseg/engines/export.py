"""Converting a package's torch weights for another runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from clickseg.engines.choice import make_engine
from clickseg.engines.weights_files import save_openvino
from clickseg.errors import ModelError, OutputError
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage


def export_openvino(package: ModelPackage) -> tuple[Path, ...]:
    """Writes ``model.xml`` and ``model.bin`` beside a package's ``model.pt``, and their SHA-256 to its metadata.

    Constants are f32; where all weights have values of f16 they are f16, half as large. Then nothing is lost but where
    OpenVINO makes one constant of several: of a convolution and the batch normalization after it.

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
    weights = [each for each in network.state_dict().values() if each.is_floating_point()]
    in_16_bits = all(torch.equal(each, each.half().float()) for each in weights)
    return save_openvino(converted, package, GRAPH, in_16_bits=in_16_bits)


def export_tensorrt(package: ModelPackage, settings: RuntimeSettings) -> Path:
    """Compiles a package's torch weights for the GPU of this machine, unless that has been done.

    Nothing is written to the package: what TensorRT compiles is of use on this GPU only.

    Args:
        package: The model.
        settings: The GPU, the precision (f16 or f32; ``auto`` is f16), and the folder for compiled networks.

    Returns:
        The file in the cache.

    Raises:
        EngineError: TensorRT is not installed, or cannot compile the network; or there is no GPU.
        ModelError: The package's weights do not fit.
        OutputError: The cache cannot be written to.
    """
    engine = make_engine(package, replace(settings, runtime=Runtime.TENSORRT))
    from clickseg.engines.tensorrt_engine import TensorRtEngine  # TensorRT is installed, since an engine was made

    file = engine.plan_file if isinstance(engine, TensorRtEngine) else None
    if file is None or not file.is_file():
        raise OutputError(f"{settings.cache}: cannot be written to", hint="--cache DIR")
    return file
