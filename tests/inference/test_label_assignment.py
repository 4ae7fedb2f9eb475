"""A part of a volume is blended and labelled to the same bytes as in the entire volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import highdicom as hd
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clickseg.core.arrays import bounding_box, expand_box, full_box
from clickseg.core.progress import no_progress
from clickseg.inference.compiled import CompiledKernels
from clickseg.inference.kernels import Kernels, NumpyKernels
from clickseg.inference.label_assignment import LabelAssigner
from clickseg.inference.model_grid import ModelGrid, crop_grid
from clickseg.inference.model_input import InMemoryImage, ModelInput
from clickseg.inference.orientation import reorientation_to
from clickseg.inference.resample import model_geometry
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching import SlabStitching
from clickseg.inference.windows import Window
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.inference import FakeNetwork

KERNELS: tuple[Kernels, ...] = (NumpyKernels(), CompiledKernels(2))
shapes = st.tuples(*[st.integers(1, 14)] * 3)
rois = st.tuples(*[st.integers(2, 8)] * 3)
spacings = st.tuples(*[st.sampled_from([0.7, 1.0, 1.9, 3.1])] * 3)
alignments = st.sampled_from([{}, {"alignment": "edges"}, {"alignment": "edges", "separate_axis_above": 1.5}])


DECISIONS: dict[str, tuple[dict[str, object], list[int]]] = {
    "softmax": ({"activation": "softmax"}, [1, 2]),
    "sigmoid": ({"activation": "sigmoid"}, [0, 1, 2]),
    "overwrite": ({"activation": "sigmoid", "overwrite": True}, [0, 1, 2]),
    "heads": ({"activation": "softmax", "heads": [2, 3]}, [1, 3, 4]),
}
"""How labels are decided from logits, and the channels of the classes."""


class DictionaryStore:
    """The logits of windows, by first voxel."""

    def __init__(self) -> None:
        self.logits: dict[tuple[int, ...], np.ndarray] = {}

    def has(self, window: Window) -> bool:
        return window.start in self.logits

    def get(self, window: Window) -> np.ndarray | None:
        return self.logits.get(window.start)

    def put(self, window: Window, logits: np.ndarray) -> None:
        self.logits[window.start] = logits.copy()


def make_spec(
    roi: tuple[int, ...], grid: dict[str, object], activation: str, interpolation: str = "logits"
) -> ModelSpec:
    decision, channels = DECISIONS[activation]
    return ModelSpec.model_validate(
        phantoms.metadata(
            window={"roi": roi, "overlap": 0.4},
            grid=grid | {"orientation": "SAR"},
            **decision,
            output_channels=5 if "heads" in decision else 3,
            classes=[phantoms.organ(f"c{channel}", channel) for channel in channels],
            interpolation=interpolation,
        )
    )


def position_dependent_logits(batch: np.ndarray, channels: int) -> np.ndarray:
    """Logits that also depend on the position in the window."""
    ramp = np.linspace(0, 1, batch[0, 0].size, dtype=np.float32).reshape(batch[0, 0].shape)
    return np.concatenate([batch, batch * ramp - 1, ramp - batch, ramp + batch, 1 - batch][:channels], axis=1)


def make_network(spec: ModelSpec) -> FakeNetwork:
    return FakeNetwork(partial(position_dependent_logits, channels=spec.output_channels))


@given(
    shapes,
    rois,
    st.tuples(spacings, alignments),
    st.tuples(st.sampled_from(sorted(DECISIONS)), st.sampled_from(["logits", "probabilities", "labels"])),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10_000),
)
@example(
    (2, 1, 2), (2, 2, 2), ((0.7, 0.7, 0.7), {}), ("softmax", "logits"), False, True, 336
)  # no source voxel in the box
@settings(max_examples=60, deadline=None)
def test_after_a_change_only_the_affected_windows_are_run_and_the_result_equals_a_full_run(
    shape: tuple[int, ...],
    roi: tuple[int, ...],
    spacing: tuple[tuple[float, ...], dict[str, object]],
    labelling: tuple[str, str],
    stores_logits: bool,
    is_cropped: bool,
    seed: int,
) -> None:
    spec = make_spec(roi, {"spacing_mm": spacing[0]} | spacing[1], *labelling)
    source = phantoms.oblique_geometry(shape, axes=np.eye(3)[:, [1, 2, 0]])
    rng = np.random.default_rng(seed)
    grid = make_cropped_grid(source, spec, rng) if is_cropped else make_grid(source, spec)
    image = rng.normal(size=grid.geometry.spatial_shape).astype(np.float32)
    kernels, store = KERNELS[seed % 2], DictionaryStore()
    if not stores_logits:
        store.put = lambda *_: None
    assigner = LabelAssigner(grid, spec, plane_axis(image, spec), kernels)
    run_all_windows(assigner, image, spec, kernels, store)
    voxel = np.array([rng.integers(0, count) for count in image.shape])
    image[tuple(voxel)] += 50

    window = SlidingWindow(ModelInput((InMemoryImage(image),), ()), spec, store)
    touched = window.grid.windows_containing(voxel[np.newaxis])
    for touched_window in touched:
        store.logits.pop(touched_window.start, None)
    changed = bounding_box([touched_window.volume_box for touched_window in touched])
    box = expand_box(changed, image.shape)
    before = assigner.label_map().array.copy()
    labelled_again = assigner.begin_update(box, changed)
    for planes in window.blended_planes(
        make_network(spec),
        kernels,
        no_progress,
        SlabStitching,
        box,
    ):
        assigner.update(planes)

    fresh = LabelAssigner(grid, spec, window.grid.axis, kernels)
    run_all_windows(fresh, image, spec, kernels, DictionaryStore())
    labels = assigner.label_map().array
    assert labels.tobytes() == fresh.label_map().array.tobytes()
    labels[labelled_again] = before[labelled_again]
    assert labels.tobytes() == before.tobytes()  # all other voxels are unchanged
    if stores_logits:
        assert window.windows_run == len(touched)


def make_grid(source: hd.VolumeGeometry, spec: ModelSpec) -> ModelGrid:
    return ModelGrid.between(source, model_geometry(source, spec.grid))


def make_cropped_grid(source: hd.VolumeGeometry, spec: ModelSpec, rng: np.random.Generator) -> ModelGrid:
    """Returns a grid with a random box of the source grid, and a random box of the model grid of that box."""
    source_box = random_box(source.spatial_shape, rng)
    resampled = model_geometry(crop_grid(source, source_box), spec.grid)
    return ModelGrid(source, source_box, resampled, random_box(resampled.spatial_shape, rng))


def random_box(shape: Sequence[int], rng: np.random.Generator) -> tuple[slice, ...]:
    starts = [int(rng.integers(0, count)) for count in shape]
    return tuple(slice(start, int(rng.integers(start, count)) + 1) for start, count in zip(starts, shape, strict=True))


def plane_axis(image: np.ndarray, spec: ModelSpec) -> int:
    return SlidingWindow(ModelInput((InMemoryImage(image),), ()), spec).grid.axis


def run_all_windows(
    assigner: LabelAssigner, image: np.ndarray, spec: ModelSpec, kernels: Kernels, store: DictionaryStore
) -> None:
    window = SlidingWindow(ModelInput((InMemoryImage(image),), ()), spec, store)
    for planes in window.blended_planes(make_network(spec), kernels, no_progress):
        assigner.update(planes)


def test_the_memory_of_several_heads_contains_a_copy_of_the_largest() -> None:
    source = phantoms.oblique_geometry((20, 11, 13))
    spec = make_spec((8, 8, 8), {"spacing_mm": [2, 2, 2]}, "heads")
    grid = ModelGrid.between(source, model_geometry(source, spec.grid))
    plane = math.prod(grid.geometry.spatial_shape[1:])

    with_heads, without = (
        LabelAssigner(grid, each, 0, NumpyKernels()).bytes_needed
        for each in (spec, spec.model_copy(update={"heads": ()}))
    )

    assert with_heads - without > 17 * 3 * plane * 4  # planes of a block, channels of the head, f32


def test_boxes_are_joined_and_expanded_inside_the_volume() -> None:
    first, second = (slice(0, 2), slice(3, 5), slice(4, 6)), (slice(1, 4), slice(2, 4), slice(4, 5))

    assert bounding_box([first, second]) == (slice(0, 4), slice(2, 5), slice(4, 6))
    assert expand_box(first, (9, 5, 7)) == (slice(0, 3), slice(2, 5), slice(3, 7))
    assert full_box((1, 2, 3)) == (slice(0, 1), slice(0, 2), slice(0, 3))


def test_a_box_of_the_reoriented_grid_is_converted_to_the_source_grid() -> None:
    source = hd.VolumeGeometry(np.diag([3.0, 1.0, 2.0, 1.0])[[2, 0, 1, 3]], (4, 5, 6), "PATIENT")
    for orientation in ("RAS", "SLP", "IAR"):
        reorientation = reorientation_to(source, orientation)
        array = np.zeros(source.spatial_shape, int)
        box = (slice(0, 2), slice(1, 3), slice(2, 4))
        reorientation.view(array)[box] = 1
        assert array[reorientation.source_box(box, array.shape)].all()
        assert array.sum() == 8
