"""Incremental postprocessing gives the same label map as postprocessing of the complete label map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickseg.clicks.click import Click, Polarity
from clickseg.core.label_map import LabelMap
from clickseg.inference.postprocess import postprocess
from clickseg.models.spec import ModelSpec
from clickseg.session.result_view import FullUpdateView, IncrementalView
from tests.helpers import phantoms

SHAPE = (6, 7, 8)
GEOMETRY = phantoms.oblique_geometry(SHAPE)
RULES = [
    {"keep": "clicked", "min_value": -0.5},
    {"keep": "largest"},
    {"keep": "all", "min_volume_ml": 0.03, "min_value": 0.1},
    {"keep": "clicked", "min_volume_ml": 0.02},
    {"keep": "largest", "keep_count": 2, "connectivity": "full"},
    {"keep": "clicked", "keep_classes": ["c1"], "connectivity": "full"},
]


def model(activation: str, rules: dict[str, object]) -> ModelSpec:
    first = 1 if activation == "softmax" else 0
    return ModelSpec.model_validate(
        phantoms.metadata(
            activation=activation,
            output_channels=first + 2,
            classes=[phantoms.organ("hook", first), phantoms.organ("c1", first + 1)],
            guidance=phantoms.GUIDANCE | {"radius_vox": 1},
            postprocessing=rules,
        )
    )


def bounding_box(voxels: np.ndarray) -> tuple[slice, ...] | None:
    ends = zip(voxels.min(axis=0), voxels.max(axis=0) + 1, strict=True) if len(voxels) else ()
    return tuple(slice(*each) for each in ends) or None


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@given(seed=st.integers(0, 1 << 30), density=st.floats(0.05, 0.5))
@settings(max_examples=30, deadline=None)
def test_after_any_changes_it_equals_full_postprocessing(
    activation: str, rules: dict[str, object], seed: int, density: float
) -> None:
    rng, spec = np.random.default_rng(seed), model(activation, rules)
    volume = GEOMETRY.with_array(rng.normal(size=SHAPE).astype(np.float32))
    is_sigmoid = activation == "sigmoid"
    shape = (*SHAPE, 1) if is_sigmoid else SHAPE
    labels = LabelMap(np.zeros(shape, np.uint8), is_sigmoid, 2)
    incremental, full = IncrementalView(labels, volume, spec), FullUpdateView(labels, volume, spec)
    clicks: tuple[Click, ...] = ()
    for _ in range(6):
        low = [int(rng.integers(0, count)) for count in SHAPE]
        box = tuple(slice(a, int(rng.integers(a, count)) + 1) for a, count in zip(low, SHAPE, strict=True))
        is_changed = rng.random() < 0.8
        if is_changed:
            part = labels.array[box]
            part[...] = rng.integers(1, 4 if is_sigmoid else 3, part.shape) * (rng.random(part.shape) < density)
        if rng.random() < 0.5:
            index = np.array([[rng.uniform(0, count - 1) for count in SHAPE]])
            x, y, z = volume.map_indices_to_reference(index)[0]
            clicks = (*clicks, Click(("hook", "c1")[rng.integers(2)], Polarity.FOREGROUND, (x, y, z)))
        elif clicks:
            clicks = clicks[1:]

        before = incremental.labels.array.copy()
        changed = [view.update(labels, box if is_changed else None, clicks) for view in (incremental, full)]

        expected, removed = postprocess(labels, volume, clicks, spec)
        assert incremental.labels.array.tobytes() == expected.array.tobytes()
        assert full.labels.array.tobytes() == expected.array.tobytes()
        assert incremental.removed == full.removed == removed
        differs = np.argwhere((incremental.labels.array != before).reshape(*SHAPE, -1).any(axis=-1))
        assert changed == [bounding_box(differs)] * 2
