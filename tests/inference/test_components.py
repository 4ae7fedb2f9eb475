"""Connected components that are updated where a mask changes are those of the entire mask."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clickseg.inference.components import ConnectedComponents


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.integers(1, 6),
    st.floats(0.05, 0.6),
    st.integers(0, 100_000),
    st.sampled_from(["faces", "full"]),
)
@settings(max_examples=150, deadline=None)
def test_updated_components_equal_those_of_the_entire_mask(
    shape: tuple[int, ...], changes: int, density: float, seed: int, connectivity: str
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < density
    components = ConnectedComponents(mask, connectivity)
    for _ in range(changes):
        low = [int(rng.integers(0, count)) for count in shape]
        box = tuple(slice(a, int(rng.integers(a, count)) + 1) for a, count in zip(low, shape, strict=True))
        mask[box] = rng.random(mask[box].shape) < density

        components.update(mask[box], box)

        expected, count = ndimage.label(mask, ndimage.generate_binary_structure(3, 1 if connectivity == "faces" else 3))
        assert len(components.table) == count
        pairs = set(zip(expected.ravel().tolist(), components.numbers.ravel().tolist(), strict=True))
        assert len(pairs) == len({number for number, _ in pairs}) == len({number for _, number in pairs})
        for number, component in components.table.items():
            voxels = np.argwhere(components.numbers == number)
            assert component.voxel_count == len(voxels)
            assert [part.start for part in component.box] == voxels.min(axis=0).tolist()
            assert [part.stop - 1 for part in component.box] == voxels.max(axis=0).tolist()
            assert components.first_voxel(number) == np.flatnonzero(components.numbers == number)[0]


def test_a_component_that_is_not_touched_keeps_its_number() -> None:
    mask = np.zeros((3, 3, 20), bool)
    mask[1, 1, 2] = mask[1, 1, 15:18] = True
    components = ConnectedComponents(mask)
    far = components.numbers[1, 1, 16]
    mask[1, 1, 3] = True

    region = components.update(np.ones((1, 1, 1), bool), (slice(1, 2), slice(1, 2), slice(3, 4)))

    assert components.numbers[1, 1, 16] == far
    assert region[2] == slice(2, 5)
