"""A noisy series, and networks with random weights that take clicks."""

from __future__ import annotations

import numpy as np
import pytest

from clickseg.dicom.volume import Series
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.engines.export import export_openvino
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.networks import package as network_package
from tests.helpers.sessions import section

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


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    volume = phantoms.hook(phantoms.oblique_geometry((17, 19, 24)), inside=300, outside=-200)
    noise = np.random.default_rng(5).normal(0, 150, volume.array.shape)
    noisy = volume.with_array(np.round(volume.array + noise).astype(np.float32))
    return phantoms.read(phantoms.write(tmp_path_factory.mktemp("series"), noisy))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelPackage]:
    """DynUNets with random weights.

    Of classes that exclude each other, of classes that overlap, one that takes clicks of two labels, one that keeps
    what was clicked, and both kinds with what they said before the last click.
    """
    folder = tmp_path_factory.mktemp("models")
    sigmoid = {"activation": "sigmoid", "classes": [phantoms.organ("hook", 0), phantoms.organ("c1", 1)]}
    labels = [{"takes": [[name, polarity]]} for name in ("hook", "c1") for polarity in ("foreground", "background")]
    both = [{"takes": ["c1"]}, {"takes": ["hook", "c1"]}]
    changes: dict[str, dict[str, object]] = {
        "softmax": {},
        "sigmoid": sigmoid,
        "two labels": sigmoid | {"guidance": phantoms.GUIDANCE | {"channels": labels}},
        "clicked": {"postprocessing": {"keep": "clicked", "min_value": -100.0, "min_volume_ml": 0.05}},
        "refining": {"guidance": phantoms.GUIDANCE | {"previous_mask": [{"takes": ["hook"]}]}},
        "refining both": sigmoid | {"guidance": phantoms.GUIDANCE | {"previous_mask": both}},
    }
    for name, change in changes.items():
        channels = ModelSpec.model_validate(section(**change)).input_channels
        export_openvino(network_package(folder / name, NETWORK | {"in_channels": channels}, section(**change)))
    return {name: load_package(folder / name) for name in changes}


@pytest.fixture(scope="module")
def engines(models: dict[str, ModelPackage]) -> dict[tuple[str, Runtime], Engine]:
    return {
        (name, runtime): make_engine(package, RuntimeSettings(runtime, "cpu", Precision.F32))
        for name, package in models.items()
        for runtime in (Runtime.OPENVINO, Runtime.TORCH)
    }
