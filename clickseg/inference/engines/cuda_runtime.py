"""The CUDA runtime library that the MONAI Deploy App SDK needs to be imported, even on a machine without a GPU.

Holoscan links ``libcudart.so.13``. Where the system has none, the wheel ``nvidia-cuda-runtime`` does, in a folder that
the dynamic linker does not search. Plain MONAI imports the SDK where that is installed, and so needs the library too.
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

from clickseg.core.errors import EngineError

_LIBRARY = "libcudart.so.13"
_NEEDED = (13, 0)
"""The CUDA that a driver must know: later ones of the same major version need no newer driver."""

_NO_DRIVER = "none"


def load_cuda_runtime() -> None:
    """Loads the library for the whole process, from the system or else from the wheel; does nothing without either."""
    for name in (_LIBRARY, *(str(folder / _LIBRARY) for folder in library_folders())):
        try:
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return


def library_folders() -> tuple[Path, ...]:
    """Returns the folders of this Python environment that hold the library."""
    nvidia = importlib.util.find_spec("nvidia")
    roots = [Path(root) for root in (nvidia.submodule_search_locations or ())] if nvidia else []
    return tuple(folder for root in roots if (folder := root / "cu13" / "lib").is_dir())


def driver_version() -> str:
    """Returns the newest CUDA that the driver knows, such as ``13.0``; ``none`` without a driver."""
    driver = _driver()
    version = ctypes.c_int(0)
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return _NO_DRIVER
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def check_driver() -> None:
    """Refuses a driver that is older than the CUDA that everything here is built for.

    Raises:
        EngineError: There is a driver, and it is older.
    """
    found = driver_version()
    if found != _NO_DRIVER and tuple(map(int, found.split("."))) < _NEEDED:
        raise EngineError(
            f"the GPU driver is too old: expected one for CUDA {_NEEDED[0]}.{_NEEDED[1]} or newer, got CUDA {found}",
            hint="install driver 580 or newer, or take --device cpu (CLICKSEG_DEVICE=cpu)",
        )


def has_cuda_device() -> bool:
    """Whether the CUDA driver is there and sees a device; asked without importing anything that uses it."""
    driver = _driver()
    count = ctypes.c_int(0)
    if driver is None:
        return False
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
