"""Pickles are read without executing them: calls are rejected, and depth and size are limited."""

from __future__ import annotations

import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickseg.clicks.formats.plain_pickle import PickleError, plain_value

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(plain, st.sampled_from([2, 3, 4, 5]))
def test_plain_values_are_read_back(value: object, protocol: int) -> None:
    if _depth(value) > 8:
        return

    assert plain_value(pickle.dumps(value, protocol)) == value


def _depth(value: object) -> int:
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max((_depth(item) for item in items), default=0)


@pytest.mark.parametrize("protocol", [3, 4])  # those that NumPy writes
@pytest.mark.parametrize("dtype", ["i4", "i8", "u2", "u4"])
def test_arrays_and_scalars_of_numpy_become_integers(protocol: int, dtype: str) -> None:
    objects = np.empty(2, dtype=object)
    objects[:] = [{"fg": [np.array([1, 2, 300], dtype)]}, {"bg": [[np.dtype(dtype).type(7), 8]]}]

    assert plain_value(pickle.dumps(objects, protocol)) == [{"fg": [[1, 2, 300]]}, {"bg": [[7, 8]]}]


class Evil:
    """An object whose unpickling would create a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_call_is_rejected_and_not_executed(tmp_path: Path, protocol: int) -> None:
    content = pickle.dumps([Evil(tmp_path / "created")], protocol)

    with pytest.raises(PickleError):
        plain_value(content)
    assert not (tmp_path / "created").exists()


@pytest.mark.parametrize("content", [b"(.", b"](a.", b"(\x85."], ids=["alone", "in a list", "in a tuple"])
def test_a_mark_is_not_a_value(content: bytes) -> None:
    with pytest.raises(PickleError, match="incomplete"):
        plain_value(content)


def test_a_list_that_is_referred_to_many_times_is_rejected() -> None:
    bomb: list[object] = [1] * 50
    for _ in range(7):
        bomb = [bomb] * 50

    with pytest.raises(PickleError, match="too deep or too large"):
        plain_value(pickle.dumps(bomb))


def test_keys_that_take_forever_to_hash_are_rejected() -> None:
    twice = b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))

    with pytest.raises(PickleError, match="expected a string or an integer as key"):
        plain_value(b"\x80\x02}" + b")" + twice + b"K\x01s.")


def test_a_list_that_contains_itself_is_rejected() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(PickleError, match="too deep or too large"):
        plain_value(pickle.dumps(endless))


def read_or_none(content: bytes) -> object:
    """Returns the value of a pickle, or None if it is rejected."""
    try:
        return plain_value(content)
    except PickleError:
        return None


def is_plain(value: object) -> bool:
    """Returns whether a value contains only plain data, at any depth."""
    if isinstance(value, dict):
        return all(is_plain(part) for item in value.items() for part in item)
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, bytes, bytearray, np.ndarray, np.generic))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_value_or_an_error(content: bytes) -> None:
    assert is_plain(read_or_none(content))


@given(st.data())
def test_a_changed_pickle_is_a_value_or_an_error(data: st.DataObject) -> None:
    content = bytearray(pickle.dumps([{"fg": [np.array([1, 2, 3])], "bg": [[4, 5, 6]]}]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    assert is_plain(read_or_none(bytes(content)))


def test_the_standard_library_has_the_opcodes_that_are_executed() -> None:
    known = {opcode.name for opcode in pickletools.opcodes}

    assert {"STACK_GLOBAL", "REDUCE", "BUILD", "MEMOIZE", "SETITEMS"} <= known
