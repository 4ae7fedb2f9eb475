"""TensorRT's plans, which are networks compiled for one GPU.

Networks are strongly typed, as they always are since TensorRT 11: each value is computed in the type that it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorrt as trt

from clickseg.errors import DeviceMemoryError, EngineError


def build_plan(onnx: bytes) -> bytes:
    """Returns a network compiled for the present CUDA device; this takes minutes, and all of the GPU.

    Args:
        onnx: The network; it computes in the types that it names.

    Raises:
        EngineError: TensorRT cannot read or compile it.
    """
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        said = parser.get_error(0).desc() if parser.num_errors else "it does not say why"
        raise EngineError(f"TensorRT cannot read the network: {said}", hint="--engine torch")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # f32 that is f32
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError("TensorRT cannot compile the network: what it logged says why", hint="--engine torch")
    return bytes(plan)


class Plan:
    """A plan that is loaded onto a CUDA device."""

    def __init__(self, runtime: Any, engine: Any, context: Any) -> None:
        self._holds = runtime, engine  # they have to outlive the context
        self._engine, self._context = engine, context

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of an input or output."""
        return tuple(self._engine.get_tensor_shape(name))

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Runs the network on a CUDA stream, and does not wait for it.

        Args:
            addresses: Where each input and output is in the device's memory.
            stream: The stream.

        Raises:
            EngineError: It cannot be run.
        """
        are_set = [self._context.set_tensor_address(name, address) for name, address in addresses.items()]
        if not all(are_set) or not self._context.execute_async_v3(stream):
            raise EngineError("TensorRT cannot run the network: what it logged says why")


def load_plan(content: bytes) -> Plan | None:
    """Loads a plan onto the present CUDA device; returns None where it is none for this GPU and version.

    Raises:
        DeviceMemoryError: The device has too little memory for it.
    """
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        return None
    context = engine.create_execution_context()
    if context is None:
        raise DeviceMemoryError("TensorRT failed to load the network: out of memory", hint="--device cpu")
    return Plan(runtime, engine, context)
