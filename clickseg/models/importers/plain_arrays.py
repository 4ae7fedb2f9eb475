"""NumPy arrays and numbers in pickles, read into plain objects: NumPy's own unpickling trusts the file.

The state of a dtype in a pickle sets flags of NumPy's memory management, and the arguments of ``numpy.ndarray`` can
allocate any amount of memory. The classes here take the place of NumPy's while a file is read.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_KINDS = {"b1": 1, "i1": 1, "u1": 1, "i2": 2, "u2": 2, "i4": 4, "u4": 4, "i8": 8, "u8": 8, "f2": 2, "f4": 4, "f8": 8}
"""The types of numbers that are read, and their sizes in bytes."""

_BYTE_ORDERS = ("<", ">", "|", "=")
_MAX_AXES = 8


class PlainDtype:
    """The type of the numbers of an array, in place of ``numpy.dtype``."""

    def __init__(self, kind: Any, *_: Any) -> None:
        """Takes the arguments in the pickle; only the first one has a meaning for numbers.

        Raises:
            ValueError: It is not a type of numbers.
        """
        if not isinstance(kind, str) or kind not in _KINDS:
            raise ValueError(f"expected an array of numbers, got the type {kind!r:.40}")
        self._kind, self._byte_order = kind, "="

    def __setstate__(self, state: Any) -> None:
        """Takes the byte order, the second item of the state; all others concern other types.

        Raises:
            ValueError: The state is not that of a type of numbers.
        """
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in _BYTE_ORDERS:
            raise ValueError("expected the byte order of an array")
        self._byte_order = state[1]

    def read(self, content: Any, count: int) -> np.ndarray[Any, Any]:
        """Returns numbers.

        Args:
            content: Their bytes.
            count: The expected number of them.

        Raises:
            ValueError: The bytes are more or fewer.
        """
        if not isinstance(content, bytes) or len(content) != count * _KINDS[self._kind]:
            raise ValueError(f"expected the bytes of {count} numbers of the type {self._kind}")
        return np.frombuffer(content, self._byte_order + self._kind)


class PlainArray:
    """An array of numbers, in place of ``numpy.ndarray``.

    Attributes:
        shape: Its shape.
    """

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self._values = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        """Takes the state: version, shape, dtype, whether the order is that of Fortran, and the bytes.

        Raises:
            ValueError: The state is not that of an array of numbers.
        """
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("expected the state of an array")
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, PlainDtype) or not _is_shape(shape):
            raise ValueError("expected the shape and the type of an array of numbers")
        values = dtype.read(content, math.prod(shape))
        self.shape, self._values = shape, values.reshape(shape, order="F" if is_fortran else "C")

    def tolist(self) -> Any:
        """Returns the numbers as nested lists."""
        return self._values.tolist()


def plain_names() -> list[tuple[Any, str]]:
    """Returns the objects that take the place of NumPy's, each with the name in pickles."""
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    return [
        (PlainArray, "numpy.ndarray"),
        (PlainDtype, "numpy.dtype"),
        *((_new_array, f"{module}._reconstruct") for module in modules),
        *((_number, f"{module}.scalar") for module in modules),
    ]


def _new_array(*_: Any) -> PlainArray:
    """Returns an empty array; its state follows in the pickle."""
    return PlainArray()


def _number(dtype: Any, content: Any) -> Any:
    if not isinstance(dtype, PlainDtype):
        raise ValueError("expected a number of NumPy")  # noqa: TRY004 - damaged content
    return dtype.read(content, 1)[0].item()


def _is_shape(shape: Any) -> bool:
    is_tuple = isinstance(shape, tuple) and len(shape) <= _MAX_AXES
    return is_tuple and all(isinstance(size, int) and 0 <= size < 2**40 for size in shape)
