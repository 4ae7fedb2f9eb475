"""Reads YAML files of other tools: only plain values, with bounds on size, depth and aliases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clickseg.core.errors import LibraryError, ModelError
from clickseg.core.text import first_line

_MAX_BYTES = 512 << 10
"""The largest file: the parser needs seconds for a megabyte."""

_MAX_NODES = 50_000
_MAX_DEPTH = 64
_CORE = "tag:yaml.org,2002:"
_TEXT = f"{_CORE}str"
_SCALARS = frozenset(f"{_CORE}{name}" for name in ("null", "bool", "int", "float", "str"))
_COLLECTIONS = frozenset({f"{_CORE}seq", f"{_CORE}map"})


def read_yaml(path: Path) -> Any:
    """Returns the content of a YAML file: dictionaries, lists, texts, numbers, booleans and None.

    Dates are texts, and so are keys that are numbers.

    Raises:
        ModelError: The file cannot be read, is not YAML, is too large or too deeply nested, also through aliases, or
            has tags of other types or merge keys.
        LibraryError: PyYAML is not installed.
    """
    yaml = _import_yaml()
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path.name}: cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise ModelError(f"{path.name}: expected at most {_MAX_BYTES} bytes of YAML")
    try:
        loader = yaml.SafeLoader(content)
        try:
            node = loader.get_single_node()
            if node is not None:
                _check_node(node, yaml, path.name, 0, [_MAX_NODES])
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path.name}: not YAML: {first_line(error)}") from error


def _check_node(node: Any, yaml: Any, name: str, depth: int, left: list[int]) -> None:
    """Checks the nodes before values are made of them, and makes dates and numbers in keys texts.

    Args:
        node: A node; a node with several aliases is checked for each.
        yaml: The module.
        name: The name of the file, for messages.
        depth: The number of collections around the node.
        left: The number of nodes that may follow.
    """
    left[0] -= 1
    if depth > _MAX_DEPTH or left[0] < 0:
        raise ModelError(f"{name}: expected at most {_MAX_NODES} values, nested at most {_MAX_DEPTH} times")
    _check_tag(node, yaml, name)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_node(item, yaml, name, depth + 1, left)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _check_node(key, yaml, name, depth + 1, left)
            if not isinstance(key, yaml.ScalarNode):
                raise ModelError(f"{name}: line {key.start_mark.line + 1}: expected a text as key")
            key.tag = _TEXT
            _check_node(value, yaml, name, depth + 1, left)


def _check_tag(node: Any, yaml: Any, name: str) -> None:
    """Checks that a node is a plain value, and makes dates texts."""
    if node.tag == f"{_CORE}timestamp":
        node.tag = _TEXT
    if node.tag not in (_SCALARS if isinstance(node, yaml.ScalarNode) else _COLLECTIONS):
        raise ModelError(f"{name}: line {node.start_mark.line + 1}: the tag {node.tag!r:.80} is not supported")


def _import_yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise LibraryError(
            "configurations in YAML can only be read with PyYAML, which is not installed",
            hint="pip install 'clickseg[import]'",
        ) from error
    return yaml
