"""Changes of a description that the user states with ``--set``."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickseg.core.errors import ModelError
from clickseg.models.importers.changes import change_section, is_section_key, source_changes

SECTION: dict[str, Any] = {"window": {"roi": [96, 96, 96]}, "inputs": [{"name": "ct", "scaling": {"kind": "zscore"}}]}


def test_a_field_of_the_description_is_replaced_by_its_dotted_key() -> None:
    changed = change_section(
        SECTION, {"window.roi.2": 48, "inputs.0.scaling.nonzero": True, "postprocessing.keep": "largest"}
    )

    assert changed == {
        "window": {"roi": [96, 96, 48]},
        "inputs": [{"name": "ct", "scaling": {"kind": "zscore", "nonzero": True}}],
        "postprocessing": {"keep": "largest"},
    }
    assert SECTION["window"] == {"roi": [96, 96, 96]}


def test_a_key_of_the_source_is_left_to_its_reader() -> None:
    changes = {"displayable_configs#highres": False, "window.overlap": 0.25, "config": "inference_lowres"}

    assert source_changes(changes) == {"displayable_configs#highres": False, "config": "inference_lowres"}
    assert change_section(SECTION, changes)["window"] == {"roi": [96, 96, 96], "overlap": 0.25}


def test_the_digests_of_the_weights_cannot_be_stated() -> None:
    assert not is_section_key("weights.model.pt")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("inputs.1.name", r"--set inputs\.1\.name: '1' leads to nothing: the description has a list of 1 there"),
        ("window.roi.x", "'x' leads to nothing: the description has a list of 3 there"),
        ("inputs.0.name.x", "'x' leads to nothing: the description has str there"),
    ],
)
def test_a_key_that_leads_to_nothing_is_an_error(key: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        change_section(SECTION, {key: 1})


@given(st.text(max_size=30), st.none() | st.integers() | st.text(max_size=5))
def test_any_key_changes_the_description_or_is_an_error(key: str, value: Any) -> None:
    try:
        changed = change_section(SECTION, {f"window.{key}": value})
    except ModelError:
        return

    assert set(changed) == set(SECTION)
