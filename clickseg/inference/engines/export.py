"""Converts the torch weights of a package for another runtime.

An existing file is replaced, never overwritten in place: another process may have mapped it into its memory, and would
crash if its bytes changed. If the export is killed, the package either loads, or its digests do not match, and then
loading reports an error.
"""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import openvino as ov
from openvino import frontend
from openvino.tools.ovc import error as converter_error

from clickseg.core.errors import ConversionError, ModelError, OutputError
from clickseg.core.files import remove_stale_temporaries, temporary_path
from clickseg.core.text import first_line
from clickseg.inference.engines.choice import make_plain_engine
from clickseg.inference.engines.openvino_engine import GRAPH
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage
from clickseg.models.spec import ModelSpec
from clickseg.models.weights_files import write_weight_digests

if TYPE_CHECKING:
    import torch

_CONVERTER_ERRORS = (
    RuntimeError,
    TypeError,
    ValueError,
    converter_error.Error,
    frontend.GeneralFailure,
    frontend.InitializationFailure,
    frontend.NotImplementedFailure,
    frontend.OpConversionFailure,
    frontend.OpValidationFailure,
)
"""What OpenVINO's converter raises for a network that it does not support."""


def export_openvino(package: ModelPackage, *, may_compress: bool = True) -> tuple[Path, ...]:
    """Converts ``model.pt`` of a package to ``model.xml`` and ``model.bin``, and writes their SHA-256 to its metadata.

    A package without ``model.pt`` has a TorchScript program, ``model.ts``, which is converted instead.

    Constants are f32. If all weights can be represented in f16, constants are stored as f16, in half the space. This is
    exact, except for constants that OpenVINO fuses: a convolution and the batch normalization after it.

    Args:
        package: The package; a folder.
        may_compress: Whether constants may be stored as f16; otherwise all stay f32.

    Returns:
        The written files.

    Raises:
        ConversionError: OpenVINO does not support the network.
        ModelError: The package is not a folder, or its weights do not fit its network.
        OutputError: The package cannot be written to.
    """
    import torch

    from clickseg.inference.engines.torch_engine import load_module

    if not package.path.is_dir():
        raise ModelError(f"model {package.name}: expected a bundle folder, got the file {package.path.name}")
    network = load_module(package).eval()
    converted = _convert(network, package.name, package.spec)
    weights = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    is_f16 = may_compress and all(torch.equal(tensor, tensor.half().float()) for tensor in weights)
    return save_openvino(converted, package, GRAPH, compress_to_f16=is_f16)


def _convert(network: torch.nn.Module, name: str, spec: ModelSpec) -> ov.Model:
    """Returns a network in the format of OpenVINO, with its main output only."""
    import torch

    from clickseg.inference.engines.main_output import MainOutput

    is_script = isinstance(network, torch.jit.ScriptModule)
    # OpenVINO converts only programs without attributes, and cannot trace such a program inside a module.
    traceable = torch.jit.freeze(network) if is_script else MainOutput(network).eval()
    example = torch.zeros(1, spec.input_channels, *spec.window.roi)
    try:
        with warnings.catch_warnings():
            # the size of windows does not change
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            converted = ov.convert_model(traceable, example_input=example, input=list(example.shape))
    except _CONVERTER_ERRORS as error:
        raise ConversionError(
            f"model {name}: OpenVINO cannot convert the network: {first_line(error)}", hint="use --engine torch"
        ) from error
    main = ov.Model(converted.outputs[:1], converted.get_parameters(), "network")
    main.output(0).get_tensor().set_names({"logits"})
    for number, operation in enumerate(main.get_ordered_ops()):
        kind = operation.get_type_name()
        if operation.get_friendly_name().removeprefix(f"{kind}_").isdecimal():  # counted by the process
            operation.set_friendly_name(f"{kind}_{number}")
    return main


def export_tensorrt(package: ModelPackage, settings: RuntimeSettings) -> Path:
    """Compiles the torch weights of a package for the GPU of this machine, unless the cache contains the result.

    The package is not changed: a compiled network can be used only on this GPU.

    Args:
        package: The model.
        settings: The GPU, the precision (f16 or f32; ``auto`` is f16), and the folder for compiled networks.

    Returns:
        The file in the cache.

    Raises:
        EngineError: TensorRT is not installed, or cannot compile the network; or no GPU is available.
        ModelError: The weights of the package do not fit its network.
        OutputError: The cache cannot be written to.
    """
    engine = make_plain_engine(package, replace(settings, runtime=Runtime.TENSORRT))
    from clickseg.inference.engines.tensorrt_engine import TensorRtEngine  # installed: the engine was made

    file = engine.plan_file if isinstance(engine, TensorRtEngine) else None
    if file is None or not file.is_file():
        raise OutputError(f"{settings.cache}: cannot be written to", hint="select another folder with --cache")
    return file


def save_openvino(
    network: ov.Model, package: ModelPackage, graph: str, *, compress_to_f16: bool = False
) -> tuple[Path, ...]:
    """Writes an OpenVINO network (a graph and its constants) to a package, and their SHA-256 to its metadata.

    Args:
        network: The network.
        package: The package; a folder.
        graph: The name of the graph file, ``NAME.xml``; the constants are written to ``NAME.bin``.
        compress_to_f16: Whether constants are stored as f16; the computation uses f32.

    Returns:
        The written files.

    Raises:
        OutputError: The package cannot be written to.
    """
    path = package.path / "models" / graph
    paths = path, path.with_suffix(".bin")
    temporary = temporary_path(path)
    temporaries = temporary, temporary.with_suffix(".bin")
    try:
        remove_stale_temporaries(path.parent)
        ov.save_model(network, temporary, compress_to_fp16=compress_to_f16)
        for new, old in zip(temporaries, paths, strict=True):
            new.replace(old)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"model {package.name}: {graph} cannot be written to {path.parent}") from error
    finally:
        for path in temporaries:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    write_weight_digests(package, tuple(path.name for path in paths))
    return paths
