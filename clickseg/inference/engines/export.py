"""Converting a package's torch weights for another runtime, and writing weights into a package.

A file that is there already is replaced, never written to. Another process may have mapped it into its memory: it keeps
what it has, where changed bytes would end it. A kill at any moment leaves a package that loads, or one whose digests do
not match, which is said when it is loaded.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov

from clickseg.core.errors import ModelError, OutputError
from clickseg.core.files import file_sha256, part_of, remove_parts, write_bytes
from clickseg.core.validation import read_json
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.openvino_engine import GRAPH
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import METADATA, ModelPackage


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
    import torch

    from clickseg.inference.engines.torch_engine import load_state

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
    from clickseg.inference.engines.tensorrt_engine import TensorRtEngine  # it is installed: an engine was made

    file = engine.plan_file if isinstance(engine, TensorRtEngine) else None
    if file is None or not file.is_file():
        raise OutputError(f"{settings.cache}: cannot be written to", hint="--cache DIR")
    return file


def save_openvino(
    network: ov.Model, package: ModelPackage, graph: str, *, in_16_bits: bool = False
) -> tuple[Path, ...]:
    """Writes a graph and its constants, and their SHA-256 to the metadata.

    Args:
        network: What to write.
        package: Where to; a folder.
        graph: The name of the graph's file, ``NAME.xml``; the constants are written to ``NAME.bin``.
        in_16_bits: Whether constants are rounded to f16; they are computed with in f32.

    Returns:
        The files that were written.

    Raises:
        OutputError: The package cannot be written to.
    """
    path = package.path / "models" / graph
    paths = path, path.with_suffix(".bin")
    part = part_of(path)
    parts = part, part.with_suffix(".bin")
    try:
        remove_parts(path.parent)
        ov.save_model(network, part, compress_to_fp16=in_16_bits)
        for new, old in zip(parts, paths, strict=True):
            new.replace(old)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"model {package.name}: {graph} cannot be written to {path.parent}") from error
    finally:
        for each in parts:
            with contextlib.suppress(OSError):
                each.unlink(missing_ok=True)
    list_weights(package, tuple(each.name for each in paths))
    return paths


def list_weights(package: ModelPackage, names: tuple[str, ...]) -> None:
    """Writes the SHA-256 of weights files into the package's metadata.

    Raises:
        OutputError: They cannot be written.
    """
    path = package.path / METADATA
    metadata = read_json(path, ModelError)
    for name in names:
        metadata["clickseg"]["weights"][name] = file_sha256(package.path / "models" / name)
    write_bytes(path, (json.dumps(metadata, indent=2) + "\n").encode())
