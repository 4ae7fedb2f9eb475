"""Reading the plain values of a pickle without unpickling it.

A pickle is a program. This reads its opcodes (the standard library lists them) and carries out those that make lists,
dictionaries, texts and numbers; a name is never looked up and a call never made: NumPy's arrays and scalars are taken
from what their calls would be given, and everything else is refused.
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


class PickleError(ValueError):
    """The pickle holds something else than plain values."""


@dataclass(slots=True)
class _Named:
    """A name, or the call of one, that is not carried out; ``state`` is what it would be given afterwards."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: tuple[Any, ...] = ()


def plain_value(content: bytes) -> Any:
    """Returns what a pickle holds: ``None``, truth values, numbers, texts, bytes, tuples, lists and dictionaries.

    NumPy arrays become lists, NumPy integers become integers.

    Raises:
        PickleError: It holds something else, or is damaged.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count > _MAX_OPCODES:
                raise PickleError(f"more than {_MAX_OPCODES} steps")
            if opcode.name == "STOP":
                return _Plain().value(machine.stack.pop())
            machine.step(opcode.name, argument)
    except (IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError, struct.error) as error:
        raise PickleError(str(error) or type(error).__name__) from error
    raise PickleError("it has no end")


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
            "TUPLE": lambda: self.stack.append(tuple(self._marked())),
            "TUPLE1": lambda: self.stack.append(self._popped(1)),
            "TUPLE2": lambda: self.stack.append(self._popped(2)),
            "TUPLE3": lambda: self.stack.append(self._popped(3)),
            "APPEND": lambda: self._extend(self._popped(1)),
            "APPENDS": lambda: self._extend(tuple(self._marked())),
            "SETITEM": lambda: self._set_items(self._popped(2)),
            "SETITEMS": lambda: self._set_items(tuple(self._marked())),
            "MEMOIZE": lambda: self._keep(len(self._memo)),
            "STACK_GLOBAL": lambda: self.stack.append(_named(*self._popped(2))),
            "REDUCE": self._call,
            "BUILD": self._build,
        }

    def step(self, name: str, argument: Any) -> None:
        """Carries out one opcode."""
        if name in ("PROTO", "FRAME"):
            return
        if name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self._memo[int(argument)])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._keep(int(argument))
        elif name == "GLOBAL":
            self.stack.append(_named(*argument.split(" ")))
        elif name in self._steps:
            self._steps[name]()
        elif argument is not None and isinstance(argument, bool | int | float | str | bytes):
            self.stack.append(argument)
        else:
            raise PickleError(f"{name} is refused")

    def _popped(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise PickleError("the stack is empty")
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        return values

    def _marked(self) -> list[Any]:
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _keep(self, place: int) -> None:
        self._memo[place] = self.stack[-1]

    def _extend(self, values: tuple[Any, ...]) -> None:
        if not isinstance(self.stack[-1], list):
            raise PickleError("a list was expected")
        self.stack[-1].extend(values)

    def _set_items(self, values: tuple[Any, ...]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise PickleError("a dictionary was expected")
        if not all(isinstance(key, str | int) for key in values[::2]):  # hashing nested tuples could take for ever
            raise PickleError("a key other than a text or a whole number is refused")
        self.stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def _call(self) -> None:
        function, arguments = self._popped(2)
        if not isinstance(function, _Named) or not isinstance(arguments, tuple):
            raise PickleError("a call is refused")
        self.stack.append(_Named(function.name, arguments))

    def _build(self) -> None:
        (state,) = self._popped(1)
        if not isinstance(self.stack[-1], _Named) or not isinstance(state, tuple):
            raise PickleError("the state of an object is refused")
        self.stack[-1].state = state


def _named(module: str, name: str) -> _Named:
    if module not in _NUMPY or name not in _NAMES:
        raise PickleError(f"{module}.{name} is refused: only plain values and NumPy arrays are read")
    return _Named(name)


class _Plain:
    """Replaces NumPy's calls by the values that they would give.

    Bounded, since a pickle can name one list many times.
    """

    def __init__(self) -> None:
        self._left = _MAX_OPCODES

    def value(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            raise PickleError("too deep or too large")
        if isinstance(value, dict):
            return {key: self.value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, depth + 1) for item in value]
        if isinstance(value, _Named):
            return self._numpy(value, depth)
        return value

    def _numpy(self, value: _Named, depth: int) -> Any:
        if value.name == _SCALAR:
            return _integers(*value.arguments)[0]
        if value.name == _ARRAY:
            _, _, dtype, _, content = value.state
            return self.value(content if isinstance(content, list) else _integers(dtype, content), depth + 1)
        raise PickleError(f"{value.name} is no value")


def _integers(dtype: Any, content: Any) -> list[int]:
    """Returns the little-endian integers of a NumPy buffer."""
    code = dtype.arguments[0] if isinstance(dtype, _Named) and dtype.arguments else None
    if code not in ("i4", "i8", "u4", "u8", "i2", "u2") or not isinstance(content, bytes):
        raise PickleError(f"expected whole numbers, got an array of {code}")
    size = int(code[1])
    return [
        int.from_bytes(content[start : start + size], "little", signed=code[0] == "i")
        for start in range(0, len(content), size)
    ]
