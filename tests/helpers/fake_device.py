"""Arrays and a device as strict as those of a GPU: no arrays of the host in operations, and no implicit copies.

An operation that is rejected here is rejected by CuPy 14 or does not exist there.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from clickseg.core.memory import Memory

SCALAR_TYPES = (bool, int, float, np.generic)
UFUNC_OPTIONS = {"dtype", "casting"}
NUMPY_FUNCTIONS = {"clip", "concatenate", "flip", "full_like", "moveaxis", "stack", "take", "where"}
"""Functions of NumPy that accept these arrays; CuPy has all of them, with the same arguments."""


class FakeDeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on a simulated device: like CuPy's, it supports calls of NumPy, but not with arrays of the host."""

    def __init__(self, array: np.ndarray) -> None:
        self.host_array = array

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if method != "__call__" or not options.keys() <= UFUNC_OPTIONS:
            return NotImplemented
        for value in inputs:
            if not isinstance(value, (FakeDeviceArray, *SCALAR_TYPES)):
                raise TypeError(f"unsupported type {type(value)}")
        if out is not None:
            (output,) = out
            options["out"] = unwrap(output)
        result = ufunc(*(unwrap(value) for value in inputs), **options)
        return out[0] if out is not None else wrap(result)

    def __array_function__(self, function: Any, _: object, arguments: Any, options: Any) -> Any:
        if function.__name__ not in NUMPY_FUNCTIONS:
            return NotImplemented
        return wrap(function(*unwrap(arguments), **unwrap(options)))

    def __getitem__(self, key: Any) -> FakeDeviceArray:
        return FakeDeviceArray(np.asarray(self.host_array[unwrap(key)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(value, (FakeDeviceArray, *SCALAR_TYPES)):
            raise TypeError(f"unsupported type {type(value)}")
        source, target = unwrap(value), self.host_array[unwrap(key)]
        if np.shares_memory(source, target) and not _is_same_memory(source, target):
            raise ValueError("CuPy copies contiguous memory in any order: source and target must not overlap")
        self.host_array[unwrap(key)] = source

    def __iter__(self) -> Iterator[FakeDeviceArray]:
        return (FakeDeviceArray(np.asarray(item)) for item in self.host_array)

    def __len__(self) -> int:
        return len(self.host_array)

    def __bool__(self) -> bool:
        return bool(self.host_array)

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "ndim", "nbytes", "size", "itemsize"):
            return getattr(self.host_array, name)
        if name in ("astype", "all", "any", "argmax", "copy", "fill", "max", "reshape", "tobytes", "transpose"):
            return lambda *inputs, **options: wrap(getattr(self.host_array, name)(*unwrap(inputs), **unwrap(options)))
        raise AttributeError(name)


class FakeDevice:
    """A device with simulated arrays. Like a second GPU, it is the current device only inside ``activate``."""

    is_host = False

    def __init__(self, free: int = 1 << 40) -> None:
        self.free = free
        self.arrays: list[weakref.ref[np.ndarray]] = []
        self.live_array_counts: list[int] = []
        self._is_current = False

    def put(self, array: np.ndarray) -> Any:
        assert isinstance(array, np.ndarray)
        return self._make_array(array.copy())

    def get(self, array: Any) -> np.ndarray:
        assert isinstance(array, FakeDeviceArray)
        assert self._is_current
        return array.host_array.copy()

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._make_array(np.zeros(shape, dtype))

    @contextmanager
    def activate(self) -> Iterator[None]:
        assert not self._is_current
        self._is_current = True
        try:
            yield
        finally:
            self._is_current = False

    def free_cached_memory(self) -> None:
        self.live_array_counts.append(sum(array() is not None for array in self.arrays))

    def free_bytes(self, _: Memory) -> int:
        return self.free

    def _make_array(self, array: np.ndarray) -> FakeDeviceArray:
        assert self._is_current
        self.arrays.append(weakref.ref(array))
        return FakeDeviceArray(array)


def _is_same_memory(a: np.ndarray, b: np.ndarray) -> bool:
    return a.ctypes.data == b.ctypes.data and (a.shape, a.strides) == (b.shape, b.strides)


def unwrap(value: Any) -> Any:
    """Replaces arrays of the device by arrays of NumPy, also in sequences and dicts; rejects arrays of the host."""
    if isinstance(value, FakeDeviceArray):
        return value.host_array
    if isinstance(value, np.ndarray):
        raise TypeError("unsupported type numpy.ndarray")
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(item) for item in value)
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    return value


def wrap(value: Any) -> Any:
    """Makes an array of the device of a result of NumPy; on a device, a single number is an array too."""
    return FakeDeviceArray(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value
