"""A noisy series, and networks with random weights that take clicks; each is made on first use, once per process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest

from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.sessions import model_description

Key, Value = TypeVar("Key"), TypeVar("Value")

NETWORK = {
    "_target_": "monai.networks.nets.DynUNet",
    "spatial_dims": 3,
    "in_channels": 3,
    "out_channels": 2,
    "kernel_size": [3, 3, 3],
    "strides": [1, 2, 2],
    "upsample_kernel_size": [2, 2],
    "filters": [4, 6, 8],
    "norm_name": "instance",
}
SIGMOID = {"activation": "sigmoid", "classes": [phantoms.organ("hook", 0), phantoms.organ("c1", 1)]}
CHANNELS_OF_TWO_LABELS = [
    {"takes": [[name, polarity]]} for name in ("hook", "c1") for polarity in ("foreground", "background")
]
TWO_PREVIOUS_MASKS = [{"takes": ["c1"]}, {"takes": ["hook", "c1"]}]
MODEL_CHANGES: dict[str, dict[str, object]] = {
    "softmax": {},
    "sigmoid": SIGMOID,
    "overwrite": SIGMOID | {"overwrite": True, "guidance": phantoms.GUIDANCE | {"channels": CHANNELS_OF_TWO_LABELS}},
    "two labels": SIGMOID | {"guidance": phantoms.GUIDANCE | {"channels": CHANNELS_OF_TWO_LABELS}},
    "clicked": {"postprocessing": {"keep": "clicked", "min_value": -100.0, "min_volume_ml": 0.05}},
    "mirrored": {
        "window": {"roi": [8, 8, 8], "overlap": 0.25, "placement": "even", "mode": "nnunet"},
        "mirror_axes": [0, 2],
    },
    "refining": {"guidance": phantoms.GUIDANCE | {"previous_mask": [{"takes": ["hook"]}]}},
    "refining both": SIGMOID | {"guidance": phantoms.GUIDANCE | {"previous_mask": TWO_PREVIOUS_MASKS}},
}


class LazyDict(dict[Key, Value]):
    """Makes each value when it is first requested."""

    def __init__(self, make: Callable[[Key], Value]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> Value:
        self[key] = self._make(key)
        return self[key]


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> SeriesVolume:
    volume = phantoms.hook_volume(phantoms.oblique_geometry((17, 19, 24)), inside=300, outside=-200)
    noise = np.random.default_rng(5).normal(0, 150, volume.array.shape)
    noisy = volume.with_array(np.round(volume.array + noise).astype(np.float32))
    return phantoms.read(phantoms.write(tmp_path_factory.mktemp("series"), noisy))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelPackage]:
    """DynUNets with random weights.

    One with exclusive classes, one with overlapping classes, one that takes clicks of two labels, one that keeps only
    clicked components, one with windows and mirroring of nnU-Net, and both kinds of classes with the previous mask as
    input.
    """
    pytest.importorskip("torch")  # not installed for every Python that runs the tests
    from tests.helpers.networks import make_exported_package

    folder = tmp_path_factory.mktemp("models")

    def make(name: str) -> ModelPackage:
        description = model_description(**MODEL_CHANGES[name])
        channels = ModelSpec.model_validate(description).input_channels
        return make_exported_package(folder / name, NETWORK | {"in_channels": channels}, description)

    return LazyDict(make)


@pytest.fixture(scope="session")
def engines(models: dict[str, ModelPackage]) -> dict[tuple[str, Runtime], Engine]:
    return LazyDict(lambda key: make_engine(models[key[0]], RuntimeSettings(key[1], "cpu", Precision.F32)))
