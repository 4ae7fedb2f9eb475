"""Bundles of the MONAI Model Zoo in full size, with random weights: the logits are those of MONAI's own pipeline.

The environment variable ``CLICKSEG_MODEL_ZOO`` names a clone of https://github.com/Project-MONAI/model-zoo, or its git
directory. ``CLICKSEG_ZOO_RESULTS`` names a JSON file to which the agreement is added.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from clickseg.clicks.click import Clicks
from clickseg.core.arrays import Float32Array, full_box
from clickseg.core.errors import ModelError
from clickseg.core.progress import no_progress
from clickseg.dicom.volume import SeriesVolume
from clickseg.evaluation.original.image_file import write_image
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_sources import load_model
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching import collect_volume
from clickseg.models.importers.monai_bundle.reader import BundleReader
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage
from tests.helpers import phantoms
from tests.helpers.smooth_series import write_smooth_series

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]  # MONAI warns when it loads images

ZOO = Path(os.environ.get("CLICKSEG_MODEL_ZOO", "/nonexistent"))
SHAPE = (24, 48, 46)
ARCHITECTURE_FILE = "search_code_18590.pt"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that can be expressed.

    Attributes:
        name: Its name in the zoo.
        config: The configuration; empty for the default.
        weights: The file of its weights.
        modality: The modality of its images.
        shape: The shape of the series.
    """

    name: str
    config: str = ""
    weights: str = "model.pt"
    modality: str = "CT"
    shape: tuple[int, int, int] = SHAPE


BUNDLES = [
    Bundle("spleen_ct_segmentation"),
    Bundle("swin_unetr_btcv_segmentation"),
    Bundle("wholeBody_ct_segmentation"),
    Bundle("prostate_mri_anatomy", modality="MR", shape=(12, 26, 24)),
    Bundle("pediatric_abdominal_ct_segmentation", weights="dynunet_FT.pt"),
    Bundle("pediatric_abdominal_ct_segmentation", "inference_segresnet", "segresnet_FT.pt"),
    Bundle("pediatric_abdominal_ct_segmentation", "inference_swinunetr", "swinunetr_FT.pt"),
    Bundle("pancreas_ct_dints_segmentation"),
    Bundle("multi_organ_segmentation"),
]
OTHERS = {
    "spleen_deepedit_annotation": "a transform of the bundle's own code, which is not executed",
    "ventricular_short_axis_3label": "networks for slices are not yet supported",
    "renalStructures_UNEST_segmentation": "the network is defined by the bundle's own code, which is not executed",
    "wholeBrainSeg_Large_UNEST_segmentation": "the network is defined by the bundle's own code, which is not executed",
    "vista3d": "VistaPreTransformd: this transform is not yet supported",
    "lung_nodule_ct_detection": "preprocessing#transforms#1: LoadImaged: expected it once",
    "brats_mri_generative_diffusion": "network_data_format#inputs: expected one image, got none",
}
"""Bundles that cannot be expressed, and the reason that the error names."""


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not ZOO.is_dir():
        pytest.skip("CLICKSEG_MODEL_ZOO names no clone of the MONAI Model Zoo")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # as the authors of the bundles ran them
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def extract(name: str, folder: Path) -> Path:
    """Copies a bundle from the zoo; it has no weights."""
    if (ZOO / "models").is_dir():
        return shutil.copytree(ZOO / "models" / name, folder / name)
    git = ["git", f"--git-dir={ZOO}", "archive", f"HEAD:models/{name}"]
    archive = subprocess.run(git, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder / name, filter="data")
    return folder / name


def write_random_weights(folder: Path, bundle: Bundle) -> None:
    """Writes random weights of the network as MONAI builds it, in its full size."""
    from monai.bundle import ConfigParser

    from clickseg.evaluation.original.run_bundle import on_cpu, read_config

    (folder / "models").mkdir(exist_ok=True)
    content = on_cpu(read_config(folder, changes(bundle)))
    content["bundle_root"] = str(folder)
    if "dints_space" in content:
        torch.save(architecture(content["dints_space"]), folder / "models" / ARCHITECTURE_FILE)
    torch.manual_seed(0)
    network = ConfigParser(content).get_parsed_content("network_def")
    torch.save(network.state_dict(), folder / "models" / bundle.weights)


def architecture(space: dict[str, Any]) -> dict[str, np.ndarray]:
    shape = (space["num_blocks"], 3 * space["num_depths"] - 2)
    nodes = np.ones((shape[0] + 1, space["num_depths"]), dtype=np.int64)
    operations = np.random.default_rng(0).integers(1, 3, shape)
    return {"arch_code_a": np.ones(shape, dtype=np.int64), "arch_code_c": operations, "node_a": nodes}


def changes(bundle: Bundle) -> dict[str, Any]:
    return {"config": bundle.config} if bundle.config else {}


def our_logits(series: SeriesVolume, package: ModelPackage) -> Float32Array:
    """Returns the blended logits [C, I, J, K] of a series on the model grid; of two classes, their difference."""
    inputs = preprocess(make_case([series], Clicks(), package)).inputs
    window = SlidingWindow(inputs, package.spec)
    engine = make_engine(package, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))
    blocks = window.blended_planes(engine, KernelChoice()(window.addition_count), no_progress)
    return collect_volume(blocks, window.grid.axis)


def monai_logits(series: SeriesVolume, folder: Path, bundle: Bundle) -> Float32Array:
    """Returns what the sliding window of the bundle's own configuration returns."""
    from clickseg.evaluation.original.run_bundle import make_evaluator

    image, output = folder / "image.nii.gz", folder / "output"
    write_image(series.volume.ensure_handedness("RIGHT_HANDED", flip_axis=0), image)
    evaluator = make_evaluator(folder, image, output, changes(bundle))
    recorder = Recorder(evaluator.inferer)
    evaluator.inferer = recorder
    evaluator.run()
    (logits,) = recorder.results
    return logits


class Recorder:
    """Calls an inferer, and stores what it returns."""

    def __init__(self, inferer: Callable[..., torch.Tensor]) -> None:
        self.inferer = inferer
        self.results: list[Float32Array] = []

    def __call__(self, *args: Any, **options: Any) -> torch.Tensor:
        logits = self.inferer(*args, **options)
        self.results.append(np.asarray(logits[0].detach()))
        return logits


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: f"{bundle.name} {bundle.config}".strip())
def test_blended_logits_are_those_of_the_configuration_of_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    folder = extract(bundle.name, tmp_path)
    write_random_weights(folder, bundle)
    series = phantoms.read(write_smooth_series(tmp_path / "series", bundle.modality, bundle.shape))

    package = load_model(folder, changes=changes(bundle))
    ours = our_logits(series, package)

    theirs = monai_logits(series, folder, bundle)
    theirs = theirs[1:] - theirs[:1] if len(theirs) == 2 else theirs
    assert ours.shape == theirs.shape
    error = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    record(bundle, ours.shape, error)
    assert error <= 1e-4


def record(bundle: Bundle, shape: tuple[int, ...], error: float) -> None:
    path = os.environ.get("CLICKSEG_ZOO_RESULTS")
    if path:
        content = json.loads(Path(path).read_text()) if Path(path).is_file() else {}
        name = f"{bundle.name} {bundle.config}".strip()
        content[name] = {
            "channels": shape[0],
            "model grid": list(shape[1:]),
            "relative L2 error": float(f"{error:.2g}"),
        }
        Path(path).write_text(json.dumps(content, indent=2) + "\n")


@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.OPENVINO])
def test_unest_as_torchscript_has_the_labels_of_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    """The network of this bundle is its own code: its authors can save it as a program."""
    pytest.importorskip("einops", reason="the network of the bundle imports einops")
    monkeypatch.syspath_prepend(extract("renalStructures_UNEST_segmentation", tmp_path))
    torch.manual_seed(0)
    network = importlib.import_module("scripts.networks.unest").UNesT(in_channels=1, out_channels=4).eval()
    program = write_program(tmp_path / "unest.pt", network)
    series = phantoms.read(write_smooth_series(tmp_path / "series", "CT", SHAPE))
    package = load_model(program)
    inputs = preprocess(make_case([series], Clicks(), package)).inputs

    engine = make_engine(package, RuntimeSettings(runtime, "cpu", Precision.F32))
    blocks = SlidingWindow(inputs, package.spec).blended_planes(engine, KernelChoice()(1), no_progress)
    ours = collect_volume(blocks, SlidingWindow(inputs, package.spec).grid.axis)

    image = torch.from_numpy(inputs.crop_images(full_box(inputs.shape)))[None]
    with torch.no_grad():
        theirs = SlidingWindowInferer(package.spec.window.roi, overlap=0.5, mode="gaussian")(image, network)[0].numpy()
    error = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    assert np.mean(ours.argmax(axis=0) == theirs.argmax(axis=0)) >= 0.9999
    assert error <= 1e-4


def write_program(path: Path, network: torch.nn.Module) -> Path:
    """Writes a traced program, and the JSON file next to it."""
    with torch.no_grad():
        torch.jit.trace(network, torch.zeros(1, 1, 96, 96, 96)).save(path)
    scaling = {"kind": "range", "a_min": -175, "a_max": 250}
    description = {
        "inputs": [{"name": "ct", "modality": "CT", "unit": "HU", "scaling": scaling}],
        "grid": {"spacing_mm": [1, 1, 1], "orientation": "RAS"},
        "window": {"roi": [96, 96, 96]},
        "activation": "softmax",
        "output_channels": 4,
    }
    path.with_suffix(".json").write_text(json.dumps(description))
    return path


@pytest.mark.parametrize("name", OTHERS)
def test_other_bundles_are_one_error_with_the_reason(name: str, tmp_path: Path) -> None:
    folder = extract(name, tmp_path)

    with pytest.raises(ModelError, match=re.escape(OTHERS[name])):
        BundleReader().read(folder, ImportOptions())
