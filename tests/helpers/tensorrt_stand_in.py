"""A fake of the TensorRT Python API, for machines without a GPU: OpenVINO reads and runs the ONNX.

It has the restrictions of TensorRT that ClickSeg depends on: networks are strongly typed, a plan belongs to one
version, tensors have names and addresses, and failures return None or False.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import types
from collections.abc import Callable
from io import BytesIO

import numpy as np
import openvino as ov

from clickseg.inference.engines.openvino_engine import openvino_core


class Logger:
    ERROR = 1

    def __init__(self, severity: int) -> None:
        assert severity == self.ERROR


class Network:
    onnx: bytes | None = None


class Config:
    has_tf32 = True

    def clear_flag(self, flag: str) -> None:
        assert flag == "TF32"
        self.has_tf32 = False


class Builder:
    def __init__(self, logger: Logger) -> None:
        assert isinstance(logger, Logger)

    def create_network(self, flags: int) -> Network:
        assert flags == 1 << 3
        return Network()

    def create_builder_config(self) -> Config:
        return Config()


class ParserError:
    def desc(self) -> str:
        return "invalid ONNX"


class OnnxParser:
    num_errors = 0

    def __init__(self, network: Network, logger: Logger) -> None:
        assert isinstance(logger, Logger)
        self.network = network

    def parse(self, onnx: bytes) -> bool:
        try:
            openvino_core().read_model(BytesIO(onnx))
        except RuntimeError:
            self.num_errors = 1
            return False
        self.network.onnx = onnx
        return True

    def get_error(self, number: int) -> ParserError:
        assert number < self.num_errors
        return ParserError()


class Context:
    def __init__(self, network: ov.Model) -> None:
        self.compiled = openvino_core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return any(name in port.names for port in (*self.compiled.inputs, *self.compiled.outputs))

    def execute_async_v3(self, stream: int) -> bool:
        if stream != 7:
            return False
        windows, logits = self.array_of(self.compiled.input(0)), self.array_of(self.compiled.output(0))
        logits[:] = self.compiled([windows])[0]
        return True

    def array_of(self, port: ov.ConstOutput) -> np.ndarray:
        """Returns the array at the address of an input or output, f32 in C order."""
        assert port.element_type.get_type_name() == "f32"
        (address,) = (address for name, address in self.addresses.items() if name in port.names)
        numbers = (ctypes.c_float * int(np.prod(port.shape))).from_address(address)
        return np.frombuffer(numbers, np.float32).reshape(tuple(port.shape))


class Engine:
    def __init__(self, network: ov.Model, context: Callable[[ov.Model], Context | None]) -> None:
        self.network, self.context = network, context

    def get_tensor_shape(self, name: str) -> list[int]:
        (port,) = (port for port in (*self.network.inputs, *self.network.outputs) if name in port.names)
        return list(port.shape)

    def create_execution_context(self) -> Context | None:
        return self.context(self.network)


class FakeTensorRt(types.ModuleType):
    """The fake module ``tensorrt``.

    Attributes:
        build_count: How many networks were compiled.
        can_compile: Whether compiling a network succeeds.
        context: Makes an execution context; returns None if the device is out of memory.
    """

    def __init__(self, version: str = "11.4.0.106") -> None:
        super().__init__("tensorrt")
        self.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
        self.__version__ = version
        self.build_count, self.can_compile, self.context = 0, True, Context
        self.Logger, self.OnnxParser = Logger, OnnxParser
        self.NetworkDefinitionCreationFlag = types.SimpleNamespace(STRONGLY_TYPED=3)
        self.BuilderFlag = types.SimpleNamespace(TF32="TF32")
        module = self

        class CountingBuilder(Builder):
            def build_serialized_network(self, network: Network, config: Config) -> bytearray | None:
                assert not config.has_tf32
                module.build_count += 1
                plan = bytearray(module.__version__.encode().ljust(16) + (network.onnx or b""))
                return plan if module.can_compile else None

        class Runtime:
            def __init__(self, logger: Logger) -> None:
                assert isinstance(logger, Logger)

            def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
                if plan[:16] != module.__version__.encode().ljust(16):
                    return None
                return Engine(openvino_core().read_model(BytesIO(plan[16:])), module.context)

        self.Builder, self.Runtime = CountingBuilder, Runtime
