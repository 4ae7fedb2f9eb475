"""Evaluates the expressions in configurations of MONAI Bundles without executing them.

An expression is parsed as Python, and its syntax tree is evaluated construct by construct: references (``@id``),
literals, lists, ``+``, conditions, subscripts, ``len``, and a table of constants. A function that merges masks to a
label map becomes a ``LabelMerge``. All other constructs are errors.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.label_merges import read_merge

REFERENCE = re.compile(r"@(\w+(?:(?:#|::)\w+)*)")
"""A reference to another key: ``@key``, ``@key#subkey``, ``@key::0``."""

MAX_ITEMS = 100_000
"""The largest number of items or characters of a value."""

_MAX_CHARACTERS = 2000
_MAX_DEPTH = 24
_PLACEHOLDER = "__reference_{}__"
_IS_PLACEHOLDER = re.compile(r"__reference_\d+__")

_CONSTANTS: Mapping[str, Any] = {
    "monai.utils.CommonKeys.IMAGE": "image",
    "monai.utils.CommonKeys.LABEL": "label",
    "monai.utils.CommonKeys.PRED": "pred",
    **{f"{module}.{name}": name for module in ("torch", "np", "numpy") for name in ("float16", "float32", "float64")},
    **{
        f"{module}.{name}": name for module in ("torch", "np", "numpy") for name in ("uint8", "int16", "int32", "int64")
    },
}
"""The values of names; data types are their names."""

Function = Callable[[Any], Any]


def evaluate(expression: str, look_up: Callable[[str], Any], functions: Mapping[str, Function], where: str) -> Any:
    """Returns the value of an expression.

    Args:
        expression: The expression, without the ``$`` before it.
        look_up: Returns the value of the key of a reference.
        functions: Functions of one argument, in addition to ``len``, that may be called, by name. Keyword arguments of
            a call are ignored.
        where: The key of the expression, for messages.

    Raises:
        ModelError: The expression has a construct that is not supported, or does not fit the values. Nothing of it
            was executed.
    """
    if len(expression) > _MAX_CHARACTERS:
        raise ModelError(f"{where}: expected an expression of at most {_MAX_CHARACTERS} characters")
    keys: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        name = _PLACEHOLDER.format(len(keys))
        keys[name] = match[1]
        return name

    text = REFERENCE.sub(replace, expression.strip())
    evaluator = _Evaluator(expression, where, keys, look_up, functions)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise evaluator.error("is not an expression of Python") from error
    return evaluator.value(tree.body, 0)


@dataclass(frozen=True, slots=True)
class _Evaluator:
    """Evaluates one expression.

    Attributes:
        expression: The expression, for messages.
        where: Its key, for messages.
        keys: The keys of references by the names that replace them in the syntax tree.
        look_up: Returns the value of a key.
        functions: The functions that may be called.
    """

    expression: str
    where: str
    keys: Mapping[str, str]
    look_up: Callable[[str], Any]
    functions: Mapping[str, Function]

    def error(self, problem: str) -> ModelError:
        return ModelError(
            f"{self.where}: the expression {'$' + self.expression!r:.200} {problem}",
            hint="expressions are not executed; supported are references, literals, lists, +, conditions, subscripts "
            "and len: replace the value in the configuration or with --set",
        )

    def value(self, node: ast.expr, depth: int) -> Any:
        """Returns the value of a node of the syntax tree."""
        if depth > _MAX_DEPTH:
            raise self.error("is nested too deeply")
        match node:
            case ast.Constant(value=(bool() | int() | float() | str() | None) as value):
                return self._literal(value)
            case ast.Name() | ast.Attribute():
                return self._name(_dotted_name(node))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item, depth + 1) for item in items]
            case ast.Call(func=function, args=[argument], keywords=keywords):
                return self._call(_dotted_name(function), argument, bool(keywords), depth)
            case _:
                return self._operation(node, depth + 1)

    def _operation(self, node: ast.expr, depth: int) -> Any:
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._sum(self.value(left, depth), self.value(right, depth))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._negative(self.value(operand, depth))
            case ast.IfExp(test=test, body=body, orelse=otherwise):
                return self.value(body if self._condition(test, depth) else otherwise, depth)
            case ast.Subscript(value=container, slice=index):
                return self._item(self.value(container, depth), self.value(index, depth))
            case ast.Lambda() if merge := read_merge(node):
                return merge
            case _:
                raise self.error(f"contains {type(node).__name__}, which is not supported")

    def _literal(self, value: Any) -> Any:
        if isinstance(value, str) and _IS_PLACEHOLDER.search(value):
            raise self.error("has a reference in a text")
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
            raise self.error("has a number that is too large")
        return value

    def _name(self, name: str) -> Any:
        if name in self.keys:
            return self.look_up(self.keys[name])
        if name not in _CONSTANTS:
            raise self.error(f"uses {name or 'an attribute'}, which is not known")
        return _CONSTANTS[name]

    def _condition(self, node: ast.expr, depth: int) -> bool:
        value = self.value(node, depth)
        if value is not None and not isinstance(value, bool | int | float | str | list | dict):
            raise self.error("has a condition that is neither true nor false")
        return bool(value)

    def _sum(self, left: Any, right: Any) -> Any:
        if _is_number(left) and _is_number(right):
            total = left + right
            if not math.isfinite(total) or abs(total) > 2**53:
                raise self.error("has a sum that is too large")
            return total
        if isinstance(left, str) and isinstance(right, str):
            return self._bounded(left + right)
        if isinstance(left, list) and isinstance(right, list):
            return self._bounded(left + right)
        raise self.error(f"adds {type(left).__name__} and {type(right).__name__}")

    def _bounded(self, value: str | list[Any]) -> str | list[Any]:
        if len(value) > MAX_ITEMS:
            raise self.error(f"has more than {MAX_ITEMS} items")
        return value

    def _negative(self, value: Any) -> Any:
        if not _is_number(value):
            raise self.error(f"has the negative of {type(value).__name__}")
        return -value

    def _item(self, container: Any, index: Any) -> Any:
        is_index = isinstance(index, int) and not isinstance(index, bool)
        if (isinstance(container, list) and is_index) or (isinstance(container, Mapping) and isinstance(index, str)):
            try:
                return container[index]
            except LookupError as error:
                raise self.error(f"has the subscript {index!r:.80}, which does not exist") from error
        raise self.error("has a subscript that does not fit")

    def _call(self, name: str, argument: ast.expr, has_keywords: bool, depth: int) -> Any:
        if name == "len" and not has_keywords:
            value = self.value(argument, depth + 1)
            if not isinstance(value, str | list | dict):
                raise self.error(f"has the length of {type(value).__name__}")
            return len(value)
        if name not in self.functions:
            raise self.error(f"calls {name or 'a function'}, which is not supported")
        return self.functions[name](self.value(argument, depth + 1))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _dotted_name(node: ast.expr) -> str:
    """Returns ``a.b.c`` of a name with attributes; empty if it is another construct."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""
