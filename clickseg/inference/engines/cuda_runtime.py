"""Loads the CUDA runtime library, and reads the version of the GPU driver.

Importing the MONAI Deploy App SDK needs the library even on a machine without a GPU, because Holoscan is linked with
``libcudart.so.13``. If the system has no such library, the wheel ``nvidia-cuda-runtime`` contains it, in a folder that
the dynamic linker does not search. MONAI imports the SDK if it is installed, and then needs the library too.
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

from clickseg.core.errors import EngineError

_LIBRARY = "libcudart.so.13"
_MIN_CUDA_VERSION = (13, 0)
"""The CUDA version that the driver must support; later minor versions need no newer driver."""

_NO_DRIVER = "none"


def load_cuda_runtime() -> None:
    """Loads the library into the process, from the system or from the wheel; does nothing if neither contains it."""
    for name in (_LIBRARY, *(str(folder / _LIBRARY) for folder in cuda_library_folders())):
        try:
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return


def cuda_library_folders() -> tuple[Path, ...]:
    """Returns the folders of this Python environment that contain the library."""
    nvidia = importlib.util.find_spec("nvidia")
    roots = [Path(root) for root in (nvidia.submodule_search_locations or ())] if nvidia else []
    return tuple(folder for root in roots if (folder := root / "cu13" / "lib").is_dir())


def driver_version() -> str:
    """Returns the newest CUDA version that the driver supports, such as ``13.0``; ``none`` without a driver."""
    driver = _load_driver()
    version = ctypes.c_int(0)
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return _NO_DRIVER
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def check_driver() -> None:
    """Checks that the GPU driver supports the required CUDA version.

    Raises:
        EngineError: The installed driver is too old.
    """
    version = driver_version()
    if version != _NO_DRIVER and tuple(map(int, version.split("."))) < _MIN_CUDA_VERSION:
        required = ".".join(map(str, _MIN_CUDA_VERSION))
        raise EngineError(
            f"the GPU driver is too old: expected one for CUDA {required} or newer, got CUDA {version}",
            hint="install driver 580 or newer, or use --device cpu (CLICKSEG_DEVICE=cpu)",
        )


def has_cuda_device() -> bool:
    """Whether a CUDA driver is installed and finds a device; imports neither torch nor CuPy."""
    driver = _load_driver()
    count = ctypes.c_int(0)
    if driver is None:
        return False
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _load_driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
