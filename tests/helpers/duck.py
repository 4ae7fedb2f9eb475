"""Arrays as strict as a GPU's: what is on the host does not mix with them, and nothing comes back by itself.

What is refused here is what CuPy 14 refuses, or has not.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from clickseg.core.memory import Memory

SCALARS = (bool, int, float, np.generic)
UFUNC_OPTIONS = {"dtype", "casting"}
FUNCTIONS = {"clip", "concatenate", "flip", "full_like", "moveaxis", "stack", "where"}
"""What is called by NumPy's name; CuPy has each of them, and takes their arguments."""


class Duck(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on a device that is none: as CuPy's, it takes NumPy's calls, but no arrays of the host."""

    def __init__(self, array: np.ndarray) -> None:
        self.there = array

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if method != "__call__" or not options.keys() <= UFUNC_OPTIONS:
            return NotImplemented
        for each in inputs:
            if not isinstance(each, (Duck, *SCALARS)):
                raise TypeError(f"unsupported type {type(each)}")
        if out is not None:
            (into,) = out
            options["out"] = inside(into)
        made = ufunc(*(inside(each) for each in inputs), **options)
        return out[0] if out is not None else outside(made)

    def __array_function__(self, function: Any, _: object, arguments: Any, options: Any) -> Any:
        if function.__name__ not in FUNCTIONS:
            return NotImplemented
        return outside(function(*inside(arguments), **inside(options)))

    def __getitem__(self, key: Any) -> Duck:
        return Duck(np.asarray(self.there[index(key)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(value, (Duck, *SCALARS)):
            raise TypeError(f"unsupported type {type(value)}")
        self.there[index(key)] = inside(value)

    def __iter__(self) -> Iterator[Duck]:
        return (Duck(np.asarray(each)) for each in self.there)

    def __len__(self) -> int:
        return len(self.there)

    def __bool__(self) -> bool:
        return bool(self.there)

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "ndim", "nbytes", "size", "itemsize"):
            return getattr(self.there, name)
        if name in ("astype", "all", "any", "argmax", "copy", "fill", "max", "reshape", "tobytes", "transpose"):
            return lambda *given, **options: outside(getattr(self.there, name)(*inside(given), **inside(options)))
        raise AttributeError(name)


class FakeDevice:
    """A device whose arrays are ducks: not the present one, as a second GPU is none, but in ``working``."""

    is_host = False

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.made: list[weakref.ref[np.ndarray]] = []
        self.alive_at_release: list[int] = []
        self._is_present = False

    def put(self, array: np.ndarray) -> Any:
        assert isinstance(array, np.ndarray)
        return self._kept(array.copy())

    def get(self, array: Any) -> np.ndarray:
        assert isinstance(array, Duck)
        assert self._is_present
        return array.there.copy()

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._kept(np.zeros(shape, dtype))

    @contextmanager
    def working(self) -> Iterator[None]:
        assert not self._is_present
        self._is_present = True
        try:
            yield
        finally:
            self._is_present = False

    def release(self) -> None:
        self.alive_at_release.append(sum(each() is not None for each in self.made))

    def left(self, _: Memory) -> int:
        return self.room

    def _kept(self, array: np.ndarray) -> Duck:
        assert self._is_present
        self.made.append(weakref.ref(array))
        return Duck(array)


def inside(value: Any) -> Any:
    """What NumPy works with; an array of the host among it is an error."""
    if isinstance(value, Duck):
        return value.there
    if isinstance(value, np.ndarray):
        raise TypeError("unsupported type numpy.ndarray")
    if isinstance(value, (list, tuple)):
        return type(value)(inside(each) for each in value)
    if isinstance(value, dict):
        return {key: inside(each) for key, each in value.items()}
    return value


def outside(value: Any) -> Any:
    """What a device gives back: even a single number stays there."""
    return Duck(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value


def index(key: Any) -> Any:
    """An index; one with arrays of the host is an error."""
    return inside(key)
