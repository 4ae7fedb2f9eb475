"""Settings of every command that loads a network: runtime, device, precision, cache, memory and mirroring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from clickseg.core.errors import UsageError
from clickseg.core.memory import Memory, machine_limit_bytes, machine_memory, parse_size
from clickseg.core.options import option_value, parse_choice, parse_switch
from clickseg.inference.engines.engine import Precision


class Runtime(str, Enum):
    """The names of the runtimes; ``auto`` is resolved before an engine is made."""

    AUTO = "auto"
    OPENVINO = "openvino"
    TORCH = "torch"
    TENSORRT = "tensorrt"


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """The runtime of a network, and its device, precision, cache, memory and mirroring.

    Attributes:
        runtime: The inference runtime; ``auto`` is torch on a CUDA device, else OpenVINO; never TensorRT.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: The number type of the computation; ``auto`` is f16 on CUDA, bf16 on processors that support it, else
            f32.
        cache: The folder for compiled networks and loops; None for no cache.
        memory: The memory that the process may use; by default that of the machine or the container.
        mirroring: Whether a model with mirror axes also runs its network on the mirror images of each window.
    """

    runtime: Runtime = Runtime.AUTO
    device: str = "auto"
    precision: Precision = Precision.AUTO
    cache: Path | None = None
    memory: Memory = field(default_factory=machine_memory)
    mirroring: bool = True


def default_runtime_settings(environ: Mapping[str, str], device: str = "auto") -> RuntimeSettings:
    """Returns the default settings: ``auto``, and the cache folder of the user.

    Args:
        environ: ``XDG_CACHE_HOME`` and ``HOME``, as in the XDG Base Directory Specification; ``LOCALAPPDATA``
            on Windows.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: The device name is invalid.
    """
    folder = environ.get("XDG_CACHE_HOME") or environ.get("LOCALAPPDATA")
    cache = Path(folder or Path(environ.get("HOME") or "/", ".cache"), "clickseg")
    return RuntimeSettings(device=parse_device(device), cache=cache)


def read_runtime_settings(
    options: Mapping[str, str | None], environ: Mapping[str, str], spool: Path
) -> RuntimeSettings:
    """Reads the settings from options and environment variables.

    Args:
        options: Values by the names of the options; they take precedence over the environment.
        environ: Environment variables.
        spool: The folder for logits that do not fit into memory.

    Raises:
        UsageError: An option has an invalid value.
    """

    def value(name: str) -> str | None:
        return option_value(name, options, environ)

    default, limit = default_runtime_settings(environ), value("memory-limit")
    return RuntimeSettings(
        runtime=parse_choice(Runtime, value("engine") or default.runtime.value, "engine"),
        device=parse_device(value("device") or default.device),
        precision=parse_choice(Precision, value("precision") or default.precision.value, "precision"),
        cache=Path(cache) if (cache := value("cache")) else default.cache,
        memory=Memory(machine_limit_bytes() if limit is None else parse_size(limit), spool),
        mirroring=parse_switch(value("mirroring") or "on", "mirroring"),
    )


def parse_device(value: str) -> str:
    """Returns a device name after checking it.

    Raises:
        UsageError: The name is invalid.
    """
    if value in ("auto", "cpu", "cuda") or (value.startswith("cuda:") and value[5:].isdecimal()):
        return value
    raise UsageError(f"device: expected auto, cpu, cuda or cuda:N, got {value!r}")
