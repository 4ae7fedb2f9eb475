"""Writing of JSON for other programs, as valid Unicode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clickseg.core.text import escape_surrogates


def to_json(data: Any) -> str:
    """Returns data as JSON with one value for each line.

    A file name that is not UTF-8 contains halves of surrogate pairs in Python, which other programs cannot read; they
    are escaped.
    """
    return json.dumps(_escape(data), indent=2)


def _escape(data: Any) -> Any:
    if isinstance(data, str):
        return escape_surrogates(data)
    if isinstance(data, Mapping):
        return {_escape(key): _escape(value) for key, value in data.items()}
    return [_escape(item) for item in data] if isinstance(data, list | tuple) else data
