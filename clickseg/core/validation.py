"""Reading JSON that users supply: bounded, strict, and refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from clickseg.core.errors import ClickSegError

MAX_JSON_BYTES = 16 << 20
_WORDS = {"extra_forbidden": "unknown field", "missing": "missing"}

T = TypeVar("T", bound=BaseModel)


class Strict(BaseModel):
    """A frozen record that refuses fields it does not know and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_json(path: Path, error: type[ClickSegError]) -> Any:
    """Returns the content of a JSON file.

    Args:
        path: The file.
        error: What to raise.

    Raises:
        ClickSegError: As ``error``: the file cannot be read, is too large, or is not JSON.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
    except OSError as cause:
        raise error(f"{path.name}: cannot be read: {cause.strerror}") from cause
    return load_json(content, path.name, error)


def load_json(content: bytes, name: str, error: type[ClickSegError]) -> Any:
    """Returns what JSON text says.

    Raises:
        ClickSegError: As ``error``: it is too large, or not JSON.
    """
    if len(content) > MAX_JSON_BYTES:
        raise error(f"{name}: expected at most {MAX_JSON_BYTES} bytes of JSON")
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as cause:
        raise error(f"{name}: not JSON: {cause}") from cause


def parse(record: type[T], data: Any, where: str, error: type[ClickSegError]) -> T:
    """Returns data as a record.

    Args:
        record: The type to read.
        data: What JSON gave.
        where: The file, for the message.
        error: What to raise.

    Raises:
        ClickSegError: As ``error``: names the first field that does not fit, what was expected and what was found.
    """
    try:
        return record.model_validate(data)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        place = "".join(f"{part}: " for part in [".".join(str(part) for part in first["loc"])] if part)
        raise error(f"{where}: {place}{_said(first)}") from cause


def _said(error: ErrorDetails) -> str:
    """Returns what is wrong with a field, in our words where pydantic's are of its own making."""
    if error["type"] in _WORDS:
        return _WORDS[error["type"]]
    try:
        found = repr(error["input"])
    except ValueError:  # a whole number of thousands of digits
        found = type(error["input"]).__name__
    shown = found if len(found) <= 80 else found[:77] + "..."
    return error["msg"].removeprefix("Value error, ") + (f", got {shown}" if error["loc"] else "")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
