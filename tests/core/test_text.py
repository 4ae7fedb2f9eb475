"""Text in messages: file names in every encoding, without terminal commands."""

from __future__ import annotations

import pytest

from clickseg.core.text import escape_unprintable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Müller 王".encode(), "Müller 王"),
        (b"M\xfcller\xff", "M\\xfcller\\xff"),
        (b"a\nb\x1b[31m\xe4", "a\\nb\\x1b[31m\\xe4"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_file_name_is_the_same_in_messages_for_every_locale(name: bytes, expected: str, encoding: str) -> None:
    text = name.decode(encoding, "surrogateescape")  # as os.fsdecode, in a locale with this encoding

    assert escape_unprintable(text) == expected
