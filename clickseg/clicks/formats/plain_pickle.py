"""Reading the plain values of a pickle without executing it.

A pickle is a program. This module reads its opcodes (with ``pickletools``) and executes only those that create lists,
dictionaries, strings and numbers. It never imports a name and never calls a function. NumPy arrays and scalars are
decoded from the arguments of the calls that would create them. Everything else is rejected.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_MAX_OPCODES = 1_000_000
_MAX_DEPTH = 8
_NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_ARRAY, _SCALAR, _DTYPE = "_reconstruct", "scalar", "dtype"
_NAMES = (_ARRAY, _SCALAR, _DTYPE, "ndarray")
_MARK = object()
"""Marks a position of the stack."""


class PickleError(ValueError):
    """A pickle contains objects that are not plain values, or is damaged."""


@dataclass(slots=True)
class _Global:
    """A global name, or a call of it, which is not executed. ``state`` is the argument of its ``__setstate__``."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: tuple[Any, ...] = ()


def plain_value(content: bytes) -> Any:
    """Returns the value of a pickle: ``None``, booleans, numbers, strings, bytes, tuples, lists and dictionaries.

    NumPy arrays become lists, and NumPy integers become integers.

    Raises:
        PickleError: The pickle contains objects of another type, or is damaged.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count > _MAX_OPCODES:
                raise PickleError(f"more than {_MAX_OPCODES} steps")
            if opcode.name == "STOP":
                return _PlainConverter().convert(machine.stack.pop())
            machine.step(opcode.name, argument)
    except (IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError, struct.error) as error:
        raise PickleError(str(error) or type(error).__name__) from error
    raise PickleError("the pickle is incomplete")


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._steps: dict[str, Callable[[], None]] = {
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "EMPTY_TUPLE": lambda: self.stack.append(()),
            "MARK": lambda: self.stack.append(_MARK),
            "NONE": lambda: self.stack.append(None),
            "NEWTRUE": lambda: self.stack.append(True),
            "NEWFALSE": lambda: self.stack.append(False),
            "TUPLE": lambda: self.stack.append(tuple(self._pop_to_mark())),
            "TUPLE1": lambda: self.stack.append(self._pop(1)),
            "TUPLE2": lambda: self.stack.append(self._pop(2)),
            "TUPLE3": lambda: self.stack.append(self._pop(3)),
            "APPEND": lambda: self._extend(self._pop(1)),
            "APPENDS": lambda: self._extend(tuple(self._pop_to_mark())),
            "SETITEM": lambda: self._set_items(self._pop(2)),
            "SETITEMS": lambda: self._set_items(tuple(self._pop_to_mark())),
            "MEMOIZE": lambda: self._memoize(len(self._memo)),
            "STACK_GLOBAL": lambda: self.stack.append(_to_global(*self._pop(2))),
            "REDUCE": self._call,
            "BUILD": self._build,
        }

    def step(self, name: str, argument: Any) -> None:
        """Executes one opcode."""
        if name in ("PROTO", "FRAME"):
            return
        if name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self._memo[int(argument)])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memoize(int(argument))
        elif name == "GLOBAL":
            self.stack.append(_to_global(*argument.split(" ")))
        elif name in self._steps:
            self._steps[name]()
        elif argument is not None and isinstance(argument, bool | int | float | str | bytes):
            self.stack.append(argument)
        else:
            raise PickleError(f"opcode {name} is not allowed")

    def _pop(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise PickleError("the stack is empty")
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        return values

    def _pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _memoize(self, index: int) -> None:
        self._memo[index] = self.stack[-1]

    def _extend(self, values: tuple[Any, ...]) -> None:
        if not isinstance(self.stack[-1], list):
            raise PickleError("expected a list")
        self.stack[-1].extend(values)

    def _set_items(self, values: tuple[Any, ...]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise PickleError("expected a dictionary")
        if not all(isinstance(key, str | int) for key in values[::2]):  # hashing nested tuples can take forever
            raise PickleError("expected a string or an integer as key")
        self.stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def _call(self) -> None:
        function, arguments = self._pop(2)
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise PickleError("the call is not allowed")
        self.stack.append(_Global(function.name, arguments))

    def _build(self) -> None:
        (state,) = self._pop(1)
        if not isinstance(self.stack[-1], _Global) or not isinstance(state, tuple):
            raise PickleError("the state of an object is not allowed")
        self.stack[-1].state = state


def _to_global(module: str, name: str) -> _Global:
    if module not in _NUMPY or name not in _NAMES:
        raise PickleError(f"{module}.{name} is not allowed: only plain values and NumPy arrays are read")
    return _Global(name)


class _PlainConverter:
    """Replaces calls of NumPy by the values that they would return.

    Depth and size are limited, since a pickle can refer to one list many times.
    """

    def __init__(self) -> None:
        self._remaining = _MAX_OPCODES

    def convert(self, value: Any, depth: int = 0) -> Any:
        self._remaining -= 1
        if depth > _MAX_DEPTH or self._remaining < 0:
            raise PickleError("too deep or too large")
        if isinstance(value, dict):
            return {key: self.convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.convert(item, depth + 1) for item in value]
        if isinstance(value, _Global):
            return self._convert_numpy(value, depth)
        if value is _MARK:  # a mark that no opcode has removed from the stack
            raise PickleError("the pickle is incomplete")
        return value

    def _convert_numpy(self, value: _Global, depth: int) -> Any:
        if value.name == _SCALAR:
            return _decode_integers(*value.arguments)[0]
        if value.name == _ARRAY:
            _, _, dtype, _, content = value.state
            return self.convert(content if isinstance(content, list) else _decode_integers(dtype, content), depth + 1)
        raise PickleError(f"{value.name} is not a value")


def _decode_integers(dtype: Any, content: Any) -> list[int]:
    """Returns the little-endian integers of a NumPy buffer."""
    code = dtype.arguments[0] if isinstance(dtype, _Global) and dtype.arguments else None
    if code not in ("i4", "i8", "u4", "u8", "i2", "u2") or not isinstance(content, bytes):
        raise PickleError(f"expected integers, got an array of {code}")
    size = int(code[1])
    return [
        int.from_bytes(content[start : start + size], "little", signed=code[0] == "i")
        for start in range(0, len(content), size)
    ]
