"""References and expressions have the values of MONAI's parser; cycles and repetition are errors."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle import ConfigParser

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.config import BundleConfig, Unsupported, apply_changes, check_config

CONTENT: dict[str, Any] = {
    "root": ".",
    "size": [96, 96, 64],
    "options": {"high": True, "overlap": 0.25},
    "mode": {"name": "gaussian"},
    "pixdim": "$[1.5, 1.5, 2.0] if @options#high else [3.0, 3.0, 3.0]",
    "file": "$@root + '/models/' + ('model.pt' if @options::high else 'low.pt')",
    "dims": "$len(@size)",
    "window": {"roi": "@size", "overlap": "@options#overlap", "mode": "@mode#name"},
    "first": "@size#0",
    "both": "$@size + @window#roi",
}


@pytest.mark.parametrize("key", CONTENT)
def test_values_are_those_of_monai(key: str) -> None:
    assert BundleConfig(CONTENT, {}).resolve(key) == ConfigParser(CONTENT).get_parsed_content(key)


def test_only_keys_that_are_needed_are_resolved() -> None:
    config = BundleConfig(CONTENT | {"bad": "$__import__('os')"}, {})

    config.resolve("window")

    assert [key for key in config.keys if config.is_used(key)] == ["size", "options", "mode", "window"]


def test_a_value_that_is_not_supported_is_an_error_only_where_it_is_needed() -> None:
    config = BundleConfig({"device": "$torch.device('cpu')", "part": {"device": "@device", "size": 3}}, {})

    part = config.resolve("part")

    assert part["size"] == 3
    assert isinstance(part["device"], Unsupported)
    with pytest.raises(ModelError, match=r"^device: the expression .* calls torch\.device"):
        config.resolve("device")


@pytest.mark.parametrize("disabled", [True, "True", "$@on"])
def test_disabled_components_are_removed(disabled: object) -> None:
    component = {"_target_": "ToDeviced", "_disabled_": disabled}
    config = BundleConfig({"on": True, "parts": [component, {"_target_": "Identityd"}]}, {})

    assert config.resolve("parts") == [{"_target_": "Identityd"}]


@pytest.mark.parametrize(
    "content",
    [
        {"a": "@a"},
        {"a": "@b", "b": "$@c + 'x'", "c": ["@a"]},
        {"a": "@b", "b": "@unknown"},
        {"a": "%other.json::key"},
        {"a": "@"},
        {"a": "@b c", "b": 1},
        {"a": "@b#5", "b": [1]},
        {"a": "@b#x", "b": "text"},
        {f"{'a' * (n + 1)}": f"@{'a' * (n + 2)}" for n in range(40)},
    ],
)
def test_references_that_lead_nowhere_are_errors(content: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        _needed(BundleConfig(content, {}).resolve("a"))


@pytest.mark.parametrize("nested", [False, True])
def test_references_that_multiply_are_errors_before_they_fill_the_memory(nested: bool) -> None:
    """Each key repeats the next one ten times."""
    content: dict[str, Any] = {f"a{n}": [f"@a{n + 1}"] * 10 for n in range(11)} | {"a11": []}
    content["a"] = "$" + "[" * nested + "@a0" + "]" * nested

    with pytest.raises(ModelError, match="values"):
        _needed(BundleConfig(content, {}).resolve("a"))


@pytest.mark.parametrize("content", [[], "text", {"a": [0] * 200_000}])
def test_a_configuration_that_is_too_large_or_no_object_is_an_error(content: object) -> None:
    with pytest.raises(ModelError):
        check_config(content, "inference.json")


def test_a_configuration_that_is_nested_too_deeply_is_an_error() -> None:
    content: Any = {}
    for _ in range(100):
        content = {"a": content}

    with pytest.raises(ModelError, match="nested"):
        check_config(content, "inference.json")


def test_changes_replace_values_and_add_arguments_of_components() -> None:
    content: dict[str, Any] = {"a": {"b": 1}, "list": [{"_target_": "Spacingd"}]}

    apply_changes(content, {"a#b": 2, "list#0#mode": "nearest"})

    assert content == {"a": {"b": 2}, "list": [{"_target_": "Spacingd", "mode": "nearest"}]}


@pytest.mark.parametrize("key", ["c", "a#c", "a#b#c", "list#7", "list#x", "#", ""])
def test_changes_of_unknown_keys_are_errors(key: str) -> None:
    with pytest.raises(ModelError, match="no such key"):
        apply_changes({"a": {"b": 1}, "list": []}, {key: 1})


_KEYS = st.sampled_from("abcd")
_TEXTS = st.one_of(
    _KEYS.map("@{}".format),
    st.tuples(_KEYS, _KEYS).map(lambda pair: "$@{} + @{}".format(*pair)),
    st.tuples(_KEYS, _KEYS).map(lambda pair: "$[@{}, len(@{})]".format(*pair)),
    st.tuples(_KEYS, st.integers(0, 2)).map(lambda pair: "@{}#{}".format(*pair)),
    st.text(alphabet="@#$%ab[]", max_size=6),
)
_VALUES = st.recursive(
    st.one_of(_TEXTS, st.integers(), st.none()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _VALUES, min_size=1))
def test_any_configuration_has_values_or_is_an_error(content: dict[str, Any]) -> None:
    config = BundleConfig(content, {})
    for key in content:
        with suppress(ModelError):
            config.resolve(key)


def _needed(value: Any) -> Any:
    """Returns a value, or raises the error of the first part that cannot be determined."""
    if isinstance(value, Unsupported):
        raise value.error
    for item in value if isinstance(value, list) else ():
        _needed(item)
    return value
