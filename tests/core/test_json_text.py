"""JSON for other programs is valid Unicode, also with file names that are not."""

from __future__ import annotations

import json
import os

import pytest

from clickseg.core.json_text import to_json

NAMES = {
    b"PET": "PET",
    "Müller 王".encode(): "Müller 王",
    b"M\xfcller\xff": "M\\xfcller\\xff",
    "ä".encode() + b"\xe4": "ä\\xe4",
    b"\xed\xa0\x80": "\\xed\\xa0\\x80",  # UTF-8 has no encoding of U+D800
}
"""Names of files as bytes, and in JSON."""


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_file_name_is_the_same_in_json_for_every_locale(name: bytes, expected: str, encoding: str) -> None:
    text = name.decode(encoding, "surrogateescape")  # as os.fsdecode, in a locale with this encoding

    written = to_json({"folder": text, text: [{"names": (text,)}]})

    assert json.loads(written.encode("utf-8")) == {"folder": expected, expected: [{"names": [expected]}]}
    assert "\\ud" not in written or "\\\\ud" in written


def test_half_of_a_surrogate_pair_is_escaped() -> None:
    assert json.loads(to_json(["a\ud800b"])) == ["a\\ud800b"]


@pytest.mark.parametrize("data", [{"a": [1, 2.5, None, True, "ä\U0001f9e0\n\x1b"], "b": {}, "c": []}, [], "a"])
def test_other_data_are_unchanged(data: object) -> None:
    assert to_json(data) == json.dumps(data, indent=2)


def test_the_names_of_this_system_are_decoded_as_in_python() -> None:
    assert json.loads(to_json(os.fsdecode(b"PET"))) == "PET"
