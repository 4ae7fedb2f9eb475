"""Regions compared with the components of ITK, depth with SciPy; on the host, a GPU, and a simulated GPU."""

from __future__ import annotations

import sys
import types
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clickseg.clicks.simulated import regions
from clickseg.clicks.simulated.clicker import Clicker, VoxelChoice
from clickseg.clicks.simulated.regions import Regions, depth_function, depth_on_host
from clickseg.core.device import HOST, array_device
from clickseg.core.errors import DeviceMemoryError
from clickseg.inference.engines.cuda_runtime import has_cuda_device
from tests.helpers.fake_device import FakeDevice, FakeDeviceArray

SHAPE = (14, 11, 17)
SPACING = (1.7, 0.9, 3.1)


def random_mask(seed: int, density: float) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE) < density


def expected_depth(mask: np.ndarray) -> np.ndarray:
    """Returns distances in the volume; voxels beyond its border are outside."""
    distances = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=SPACING)
    return np.asarray(distances)[1:-1, 1:-1, 1:-1]


def components(mask: np.ndarray) -> np.ndarray:
    """Returns the component numbers; voxels that share a corner are connected."""
    label = SimpleITK.ConnectedComponentImageFilter()
    label.FullyConnectedOn()
    return SimpleITK.GetArrayFromImage(label.Execute(SimpleITK.GetImageFromArray(mask.astype(np.uint8))))


class FullDevice(FakeDevice):
    """A device without free memory."""

    def activate(self) -> AbstractContextManager[None]:
        raise DeviceMemoryError("CUDA device 0: out of memory")


@pytest.fixture
def cupyx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates the distance transform of CuPy, which ignores voxels beyond the array and rejects host arrays."""

    def transform(image: FakeDeviceArray, sampling: Sequence[float], *, float64_distances: bool) -> FakeDeviceArray:
        assert isinstance(image, FakeDeviceArray)
        dtype = np.float64 if float64_distances else np.float32
        return FakeDeviceArray(np.asarray(ndimage.distance_transform_edt(image.host_array, sampling=sampling), dtype))

    module = types.ModuleType("cupyx.scipy.ndimage")
    module.distance_transform_edt = transform  # type: ignore[attr-defined]
    for name in ("cupyx", "cupyx.scipy"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


@given(st.integers(0, 2**31), st.floats(0.01, 0.6))
@settings(max_examples=40, deadline=None)
def test_regions_are_equal_to_those_of_itk(seed: int, density: float) -> None:
    mask = random_mask(seed, density)
    expected = components(mask)
    count = int(expected.max())

    found = Regions(mask)

    assert len(found) == count
    assert Counter(found.voxel_counts.tolist()) == Counter(np.bincount(expected.ravel())[1:].tolist())
    if count:
        union = np.zeros(SHAPE, bool)
        for number in range(1, count + 1):
            region = found.region(number)
            assert region.mask.sum() == region.voxel_count
            union[region.box] |= region.mask
        assert (union == mask).all()


@given(st.integers(0, 2**31), st.floats(0.001, 0.3))
@settings(max_examples=40, deadline=None)
def test_regions_have_the_order_of_their_first_voxels_in_the_volume(seed: int, density: float) -> None:
    mask = np.pad(random_mask(seed, density), ((2, 1), (0, 3), (1, 0)))
    numbers, count = ndimage.label(mask, np.ones((3, 3, 3)))

    found = Regions(mask)

    assert len(found) == count
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        assert found.region(number).box == box
        assert np.array_equal(found.region(number).mask, numbers[box] == number)


def test_a_single_row_of_voxels_has_regions() -> None:
    found = Regions(np.array([[[1, 0, 1, 1, 0, 0, 1]]], bool))

    assert found.voxel_counts.tolist() == [1, 2, 1]
    assert found.region(2).origin == (0, 0, 2)


@given(st.integers(0, 2**31), st.floats(0.05, 1))
@settings(max_examples=30, deadline=None)
def test_depth_is_equal_to_that_of_scipy(seed: int, density: float) -> None:
    mask = random_mask(seed, density)

    assert depth_on_host(mask, SPACING) == pytest.approx(expected_depth(mask), rel=1e-5)


@pytest.mark.usefixtures("cupyx")
@pytest.mark.parametrize("density", [0.05, 0.5, 0.9, 1])
def test_depth_on_a_device_is_equal_to_that_on_the_host(monkeypatch: pytest.MonkeyPatch, density: float) -> None:
    monkeypatch.setattr(regions, "_MIN_GPU_VOXELS", 0)
    mask, device = random_mask(3, density), FakeDevice()

    depth = depth_function(device)(mask, SPACING)

    assert depth == pytest.approx(expected_depth(mask), rel=1e-5)
    assert depth.shape == mask.shape
    assert len(device.arrays) == 1


@pytest.mark.usefixtures("cupyx")
def test_the_depth_of_a_small_mask_is_computed_on_the_host() -> None:
    mask, device = random_mask(3, 0.5), FakeDevice()

    assert np.array_equal(depth_function(device)(mask, SPACING), depth_on_host(mask, SPACING))
    assert not device.arrays


def test_if_a_device_is_full_the_host_computes_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "_MIN_GPU_VOXELS", 0)
    mask = random_mask(3, 0.5)

    assert np.array_equal(depth_function(FullDevice())(mask, SPACING), depth_on_host(mask, SPACING))


def test_the_host_does_not_need_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupyx", None)

    assert depth_function(HOST) is depth_on_host


@pytest.mark.usefixtures("cupyx")
@pytest.mark.parametrize("choice", [VoxelChoice.LARGEST, VoxelChoice.DEPTH])
def test_depth_is_computed_only_in_the_box_of_the_clicked_region(choice: VoxelChoice) -> None:
    shapes = []

    def depth(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        shapes.append(mask.shape)
        return depth_function(FakeDevice())(mask, spacing)

    mask = np.zeros(SHAPE, bool)
    mask[2:5, 3:9, 4:6] = True

    voxel = Clicker(choice, SPACING, depth).choose_voxel(mask, np.random.default_rng(0))

    assert mask[voxel]
    assert shapes == [(3, 6, 2)]


@pytest.mark.gpu
@pytest.mark.skipif(not has_cuda_device(), reason="no CUDA device")
@pytest.mark.parametrize("density", [0.05, 0.5, 0.9, 1])
def test_depth_on_a_gpu_is_equal_to_that_on_the_host(monkeypatch: pytest.MonkeyPatch, density: float) -> None:
    pytest.importorskip("cupy")
    monkeypatch.setattr(regions, "_MIN_GPU_VOXELS", 0)
    mask = random_mask(3, density)

    assert depth_function(array_device("cuda:0"))(mask, SPACING) == pytest.approx(expected_depth(mask), rel=1e-5)
