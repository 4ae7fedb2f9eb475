"""Reading of JSON from users, with a size limit, strict checks and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from clickseg.core.errors import ClickSegError
from clickseg.core.text import decode_text, has_lone_surrogate

MAX_JSON_BYTES = 16 << 20
_SYNTAX_HINT = "JSON has no comments, no comma after the last value, and a decimal point in numbers"
_MESSAGES = {"extra_forbidden": "unknown field", "missing": "missing"}

T = TypeVar("T", bound=BaseModel)


class StrictModel(BaseModel):
    """A frozen record that rejects unknown fields and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_json(path: Path, error: type[ClickSegError]) -> Any:
    """Returns the content of a JSON file.

    Args:
        path: The file.
        error: The type of error to raise.

    Raises:
        ClickSegError: The file cannot be read, is too large, or is not JSON. Its type is ``error``.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
    except OSError as cause:
        raise error(f"{path.name}: cannot be read: {cause.strerror}") from cause
    return parse_json(content, path.name, error)


def parse_json(content: bytes, name: str, error: type[ClickSegError]) -> Any:
    """Parses JSON text.

    Raises:
        ClickSegError: The text is too large, has an unknown encoding, or is not JSON. Its type is ``error``.
    """
    if len(content) > MAX_JSON_BYTES:
        raise error(f"{name}: expected at most {MAX_JSON_BYTES} bytes of JSON")
    try:
        text = decode_text(content)
    except UnicodeDecodeError as cause:
        invalid = cause.object[cause.start : cause.end]
        raise error(
            f"{name}: not JSON: expected UTF-8 or UTF-16 text, got {invalid!r:.40} at byte {cause.start}",
            hint="save the file in the encoding UTF-8",
        ) from cause
    try:
        data = json.loads(text, parse_constant=_reject_constant)
        is_storable = "\\u" not in text or not has_lone_surrogate(json.dumps(data, ensure_ascii=False))
    except json.JSONDecodeError as cause:
        raise error(f"{name}: not JSON: {cause}", hint=_SYNTAX_HINT) from cause
    except (ValueError, RecursionError) as cause:
        raise error(f"{name}: not JSON: {cause}") from cause
    if not is_storable:
        raise error(f"{name}: not JSON: a text contains half of a surrogate pair")
    return data


def validate_record(record: type[T], data: Any, where: str, error: type[ClickSegError]) -> T:
    """Converts data from JSON to a record.

    Args:
        record: The type of the record.
        data: The parsed JSON.
        where: The name of the file, for the message.
        error: The type of error to raise.

    Raises:
        ClickSegError: The message contains the first invalid field, what was expected and what was found. Its type is
            ``error``.
    """
    try:
        return record.model_validate(data)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        path = ".".join(_field_path(first, data))
        raise error(f"{where}: {path}{': ' if path else ''}{_describe(first)}") from cause


def _field_path(error: ErrorDetails, data: Any) -> list[str]:
    """Returns the keys and indices that lead to a field, without pydantic's names for the alternatives of a type."""
    path: list[str] = []
    for part in error["loc"]:
        is_key = isinstance(data, dict) and part in data
        is_index = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if is_key or is_index:
            data = data[part]
        elif error["type"] != "missing" or part != error["loc"][-1]:
            continue
        path.append(str(part))
    return path


def _describe(error: ErrorDetails) -> str:
    """Returns the error of a field in plain words, since some messages of pydantic use its own terms."""
    if error["type"] in _MESSAGES:
        return _MESSAGES[error["type"]]
    try:
        value = repr(error["input"])
    except ValueError:  # an integer of thousands of digits
        value = type(error["input"]).__name__
    shortened = value if len(value) <= 80 else value[:77] + "..."
    return error["msg"].removeprefix("Value error, ") + (f", got {shortened}" if error["loc"] else "")


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")
