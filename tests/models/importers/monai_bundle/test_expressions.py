"""Expressions have the values of Python, or are errors; nothing is executed."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.expressions import REFERENCE, evaluate

VALUES: dict[str, Any] = {
    "root": ".",
    "names": {"spleen": 1, "background": 0},
    "size": [96, 96, 64],
    "nested": {"high": True, "low": False},
    "nested#high": True,
    "nested#low": False,
    "size#2": 64,
    "one": 1,
    "half": 0.5,
}


def value(expression: str) -> Any:
    return evaluate(expression, lambda key: VALUES[key.replace("::", "#")], {}, "key")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@root + '/models/' + ('a.pt' if @nested#high else 'b.pt')", "./models/a.pt"),
        ("[1.5, 1.5, 1.5] if @nested#low else [3.0, 3.0, 3.0]", [3.0, 3.0, 3.0]),
        ("len(@names) + @one", 3),
        ("@size + [1, -2]", [96, 96, 64, 1, -2]),
        ("@size::2", 64),
        ("@names['spleen']", 1),
        ("@size[-1]", 64),
        (" @size ", [96, 96, 64]),
        ("None", None),
        ("torch.float32", "float32"),
        ("monai.utils.CommonKeys.PRED", "pred"),
    ],
)
def test_the_expressions_of_the_model_zoo_have_their_values(expression: str, expected: object) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "import os",
        "lambda x: x",
        "[i for i in @size]",
        "@root.__class__",
        "().__class__.__bases__[0].__subclasses__()",
        "open('/etc/passwd')",
        "len.__self__",
        "len(@size, @size)",
        "len(*@size)",
        "len(@one)",
        "@size * 1000000000",
        "9 ** 9 ** 9",
        "1 << 99999",
        "@names.keys()",
        "f'{@root}'",
        "'@root'",
        "(x := 1)",
        "@size[0:2]",
        "@size[9]",
        "@names['lung']",
        "@names[0]",
        "@root + @size",
        "@root @ @root",
        "b'bytes'",
        "1j",
        "...",
        "__reference_7__",
        "9" * 400,
        "1e308 + 1e308",
        "(" * 250 + ")" * 250,
        "-" * 1500 + "1",
        "+".join(["1"] * 200),
        "'" + "a" * 3000 + "'",
        "",
        "\0",
        "torch.device('cuda')",
        "eval('1')",
        "@a.b.c()",
        "yield",
        "await @one",
        "{'a': 1}",
        "not @one",
    ],
)
def test_other_constructs_are_errors_that_name_the_key(expression: str) -> None:
    with pytest.raises(ModelError, match=r"^key: "):
        value(expression)


def test_repeated_addition_cannot_fill_the_memory() -> None:
    with pytest.raises(ModelError, match="more than 100000 items"):
        evaluate("@x + @x", lambda _: ["item"] * 60_000, {}, "key")


_ATOMS = st.sampled_from([f"@{key}" for key in VALUES] + ["1", "0.5", "'text'", "None", "True", "os", "[1, 2]", "x.y"])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "@", "and", "<", "if 1 else", ","]), inner).map(" ".join),
        st.tuples(st.sampled_from(["len", "-", "[0, ", "(", "open", "lambda: "]), inner).map(
            lambda x: f"{x[0]}({x[1]})"
        ),
        st.tuples(inner, inner).map(lambda x: f"({x[0]})[{x[1]}]"),
    ),
    max_leaves=8,
)


@given(_EXPRESSIONS)
def test_an_expression_has_the_value_of_python_or_is_an_error(expression: str) -> None:
    try:
        ours = value(expression)
    except ModelError:
        return
    python = REFERENCE.sub(lambda match: repr(VALUES[match[1].replace("::", "#")]), expression)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of a branch that is not evaluated
        theirs = eval(python, {"__builtins__": {"len": len}})  # noqa: S307 - of the few words above
    assert json.dumps(ours) == json.dumps(theirs)  # tuples are lists


@given(st.text(alphabet="@#$%[]()+-.,:'\"_ aeilmnoprstx019\n\\{}=*", max_size=60))
def test_any_text_has_a_value_or_is_an_error(text: str) -> None:
    with suppress(ModelError):
        evaluate(text, lambda key: key, {}, "key")
