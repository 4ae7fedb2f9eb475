"""The inferer of a bundle becomes the window of the section."""

from __future__ import annotations

from typing import Any

import pytest

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.components import read_component
from clickseg.models.importers.monai_bundle.window import translate_inferer


def window(name: str = "SlidingWindowInferer", **arguments: Any) -> dict[str, Any]:
    return translate_inferer(read_component({"_target_": name, "roi_size": [96, 96, 64], **arguments}, "inferer"))[0]


def test_the_defaults_are_those_of_monai() -> None:
    assert window() == {"roi": [96, 96, 64], "overlap": 0.25, "mode": "constant"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"overlap": 0.5, "mode": "gaussian"}, {"roi": [96, 96, 64]}),
        ({"overlap": [0.5] * 3, "mode": "gaussian", "sigma_scale": 0.2}, {"roi": [96, 96, 64], "sigma_scale": 0.2}),
        ({"roi_size": 32, "overlap": 0.5}, {"roi": [32] * 3, "mode": "constant"}),
        (
            {"overlap": 0.5, "mode": "gaussian", "padding_mode": "replicate", "sw_batch_size": 4},
            {"roi": [96, 96, 64], "padding_mode": "replicate"},
        ),
    ],
)
def test_arguments_become_fields(arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    assert window(**arguments) == expected


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("SimpleInferer", {}, "inferer: SimpleInferer: this inferer is not yet supported"),
        ("SliceInferer", {}, "inferer: SliceInferer: this inferer is not yet supported"),
        ("scripts.inferer.Own", {}, r"inferer: scripts\.inferer\.Own"),
        ("SlidingWindowInferer", {"roi_size": [96, 96]}, "roi_size: expected a number or three numbers"),
        ("SlidingWindowInferer", {"roi_size": [96, 96, -1]}, "roi_size: the size of an image is not supported"),
        ("SlidingWindowInferer", {"overlap": [0.5, 0.5, 0.2]}, "overlap: expected the same number for all axes"),
        ("SlidingWindowInferer", {"mode": "cosine"}, "mode: expected 'constant' or 'gaussian', got 'cosine'"),
        ("SlidingWindowInferer", {"padding_mode": "reflect"}, "padding_mode"),
        ("SlidingWindowInferer", {"cval": -1}, "cval: expected 0, got -1"),
        ("SlidingWindowInferer", {"with_coord": True}, "with_coord: expected False, got True"),
        ("SlidingWindowInferer", {"speed": 2}, "the argument speed is not supported"),
    ],
)
def test_other_inferers_and_arguments_are_errors(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        window(name, **arguments)
