"""Labels of models of other tools, compared with those of these tools, on fitted networks.

``CLICKSEG_AUTO3DSEG_SCRIPT`` names ``auto3dseg_segresnet_inference.py`` of the extension MONAIAuto3DSeg; it needs fire
and pynrrd. Without it, its rows are left out.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import highdicom as hd
import numpy as np
import SimpleITK
import torch

from benchmarks import foreign_oracles as oracles
from benchmarks.table import Row, publish
from clickseg.batch.settings import read_settings
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.arrays import LabelArray
from clickseg.core.progress import no_progress
from clickseg.core.sitk import to_sitk
from clickseg.dicom.volume import SeriesVolume
from clickseg.evaluation.original.check import bundle_pipeline, compare_with_original
from clickseg.evaluation.original.image_file import exact_affine, in_itk_order, write_image
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.translation_cache import translate
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage
from tests.helpers import fitted_files, phantoms
from tests.helpers.described_series import write_described_series
from tests.helpers.fitted_bundles import RECIPES, RECIPES_OF_SEVERAL_IMAGES, write_fitted_bundle
from tests.helpers.full_run import segment_series
from tests.helpers.smooth_series import smooth_volume, write_smooth_series

_BAR, _BAR_WITH_CLICKS = 99.99, 100.0
_LPS_TO_RAS = np.array([-1, -1, 1])
_MODES = (
    fitted_files.NormalizeMode("range", "ct", 0.27, 0.73),
    fitted_files.NormalizeMode("meanstd", "mri", -1.5, 2.5),
    fitted_files.NormalizeMode("pet", "pet", 0.5, 1),
)
_BAR_OF_SEVERAL_IMAGES = 99.9
_CLASS_NUMBERS = {
    "brats": {2: 1, 1: 2, 4: 3},
    "cect": {3: 1, 2: 2, 1: 3},
    "auto3dseg brats": {2: 1, 1: 2, 3: 3},
}
"""The class numbers of ClickSeg by the labels of models that merge masks: in the order in which they overwrite."""

_PROGRAM: dict[str, Any] = {
    "inputs": [
        {"name": "ct", "modality": "CT", "unit": "HU", "scaling": {"kind": "range", "a_min": -57, "a_max": 164}}
    ],
    "grid": {"spacing_mm": [3.1, 3.1, 4.3], "orientation": "RAS"},
    "window": {"roi": [24, 24, 16], "overlap": 0.5, "mode": "constant"},
    "activation": "softmax",
    "interpolation": "probabilities",
    "output_channels": 2,
    "classes": [{"name": "spleen", "channel": 1}],
}


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all rows share.

    Attributes:
        folder: The folder for models and results.
        series: The folder with a series of each modality.
    """

    folder: Path
    series: Mapping[str, Path]

    def read(self, modality: str) -> SeriesVolume:
        """Reads a series."""
        return phantoms.read(self.series[modality])

    def image(self, modality: str) -> Path:
        """Returns a series as NIfTI."""
        path = self.folder / f"{modality}.nii.gz"
        if not path.is_file():
            write_image(in_itk_order(self.read(modality).volume)[0], path)
        return path

    def package(self, model: Path, **options: Any) -> ModelPackage:
        """Returns a model as a package."""
        return translate(model, ImportOptions(**options), self.folder / "cache")

    def series_of(self, modality: str, count: int) -> list[SeriesVolume]:
        """Reads several series of one modality on the same grid, in the order of the inputs."""
        folder = self.folder / f"{count}_{modality}"
        if not folder.is_dir():
            volumes = [(f"image {n}", smooth_volume(modality, seed=11 + n)) for n in range(1, count + 1)]
            write_described_series(folder, volumes, modality)
        return [phantoms.read(each) for each in sorted(folder.iterdir())]

    def volumes(self, modality: str, count: int) -> list[hd.Volume]:
        """Returns the volumes of these series in the order of ITK."""
        return [in_itk_order(series.volume)[0] for series in self.series_of(modality, count)]

    def labels_of(self, package: ModelPackage, modality: str) -> LabelArray:
        """Returns the labels of ClickSeg in f32 for a model with several images, on the grid of the first."""
        series = self.series_of(modality, len(package.spec.inputs))
        engine = make_engine(package, RuntimeSettings(Runtime.AUTO, "cpu", Precision.F32))
        labels = segment_series(series, Clicks(), package, engine).labels.array
        return in_itk_order(series[0].volume.with_array(labels))[0].array

    def labels(
        self, package: ModelPackage, modality: str, clicks: Clicks | None = None, runtime: Runtime = Runtime.AUTO
    ) -> LabelArray:
        """Returns the labels of ClickSeg in f32, on the grid of the image."""
        series, engine = self.read(modality), make_engine(package, RuntimeSettings(runtime, "cpu", Precision.F32))
        labels = segment_series([series], clicks or Clicks(), package, engine).labels.array
        return in_itk_order(series.volume.with_array(labels))[0].array


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        series = {name: write_smooth_series(folder / name, name) for name in ("CT", "MR", "PT")}
        bench = _Bench(folder, series)
        makers = (
            *(_bundle_rows, _several_images_rows),
            *(_auto3dseg_rows, _auto3dseg_of_several_images_rows),
            *(_program_rows, _checkpoint_rows),
        )
        rows = [row for make_rows in makers for row in make_rows(bench)]
    publish("foreign_models", "Labels of models of other tools compared with those of these tools, f32", rows)


def _bundle_rows(bench: _Bench) -> Iterator[Row]:
    nearest = {"postprocessing#transforms#2#nearest_interp": True}
    for name, recipe in RECIPES.items():
        model = write_fitted_bundle(bench.folder / name, recipe)
        own = "the bundle, run by MONAI"
        if name == "prostate":
            yield _bundle_row(bench, model, f"{own}, with nearest_interp true", nearest)
            yield _bundle_row(bench, model, f"{own}, as published: it interpolates labels linearly", {}, bar="-")
        else:
            yield _bundle_row(bench, model, own, {})


def _bundle_row(bench: _Bench, model: Path, oracle: str, changes: Mapping[str, Any], bar: float | str = _BAR) -> Row:
    options = {"clicks": "none", "device": "cpu", "precision": "f32"}
    series = bench.series[RECIPES[model.name].modality]
    settings = read_settings(series, bench.folder / "out", None, options, os.environ)
    settings = replace(settings, model=bench.package(model, changes=dict(changes)))
    (found,) = compare_with_original(bundle_pipeline(model, changes), settings, no_progress)
    file_format = "MONAI Bundle, YAML" if RECIPES[model.name].is_yaml else "MONAI Bundle, JSON"
    return _row((f"{model.name} (recipe)", file_format, oracle), 100 * found.equal, min(found.dice.values()), bar)


def _several_images_rows(bench: _Bench) -> Iterator[Row]:
    for name, recipe in RECIPES_OF_SEVERAL_IMAGES.items():
        model = write_fitted_bundle(bench.folder / name, recipe)
        package, result = bench.package(model), bench.folder / f"{name}_result.nii.gz"
        volumes = bench.volumes(recipe.modality, len(package.spec.inputs))
        images = [bench.folder / f"{name}_{number}.nii.gz" for number in range(len(volumes))]
        for volume, image in zip(volumes, images, strict=True):
            write_image(volume, image)
        request = {
            "images": [str(image) for image in images],
            "labels": str(result),
            "source": str(model),
            "changes": {},
        }
        oracles.run_module("clickseg.evaluation.original.run_bundle", json.dumps(request))
        theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(result)))
        names = (f"{name} (recipe), {len(images)} images", "MONAI Bundle, JSON", "the bundle, run by MONAI")
        yield _compare(names, bench.labels_of(package, recipe.modality), _renumber(theirs, _CLASS_NUMBERS[name]))


def _renumber(labels: LabelArray, numbers: Mapping[int, int]) -> LabelArray:
    """Returns a label map with the class numbers of ClickSeg."""
    renumbered: LabelArray = np.zeros(labels.shape, np.int64)
    for value, number in numbers.items():
        renumbered[np.rint(labels) == value] = number
    return renumbered


def _auto3dseg_rows(bench: _Bench) -> Iterator[Row]:
    script = os.environ.get("CLICKSEG_AUTO3DSEG_SCRIPT")
    if not script:
        print("Auto3DSeg is left out: CLICKSEG_AUTO3DSEG_SCRIPT is not set")
        return
    for mode in _MODES:
        model = fitted_files.write_auto3dseg(bench.folder / f"{mode.name}-v1.0.0.zip", mode)
        modality = {"ct": "CT", "mri": "MR", "pet": "PT"}[mode.modality]
        package = bench.package(model, unit="SUVbw" if modality == "PT" else None)
        volumes = [in_itk_order(bench.read(modality).volume)[0]]
        theirs = _run_auto3dseg(bench, Path(script), model, volumes)
        names = (f"normalize_mode {mode.name}", "Auto3DSeg zip", "the script of the extension, image stored in RAS")
        yield _compare(names, bench.labels(package, modality), theirs)


def _auto3dseg_of_several_images_rows(bench: _Bench) -> Iterator[Row]:
    script = os.environ.get("CLICKSEG_AUTO3DSEG_SCRIPT")
    for name, images, has_masks in (("two", 2, False), ("brats", 4, True)) if script else ():
        mode = fitted_files.NormalizeMode("meanstd", "mri", -1.5, 2.5)
        model = fitted_files.write_auto3dseg(bench.folder / f"{name}-v1.0.0.zip", mode, images, has_masks=has_masks)
        package = bench.package(model)
        theirs = _run_auto3dseg(bench, Path(script or ""), model, bench.volumes("MR", images))
        if has_masks:
            theirs = _renumber(theirs, _CLASS_NUMBERS["auto3dseg brats"])
        names = (f"{name} (recipe), {images} images", "Auto3DSeg zip", "the script of the extension, images in RAS")
        yield _compare(names, bench.labels_of(package, "MR"), theirs, _BAR_OF_SEVERAL_IMAGES)


def _run_auto3dseg(bench: _Bench, script: Path, model: Path, volumes: Sequence[hd.Volume]) -> LabelArray:
    """Returns the labels of the script [K, J, I]; it gets the images with axes that it does not have to turn."""
    images, result = [], bench.folder / "result.nrrd"
    for number, volume in enumerate(volumes):
        turned = volume.to_patient_orientation("SAR")
        written = to_sitk(turned)
        written.SetDirection((exact_affine(turned)[:3, :3] / turned.spacing)[:, ::-1].ravel().tolist())
        images.append(bench.folder / f"image{number}.nrrd")
        SimpleITK.WriteImage(written, str(images[-1]))
    with zipfile.ZipFile(model) as archive:
        archive.extract("model.pt", bench.folder / model.stem)
    oracles.run_auto3dseg(script, bench.folder / model.stem / "model.pt", images, result)
    labels = turned.with_array(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(result))))
    return labels.to_patient_orientation(volumes[0].get_closest_patient_orientation()).array


def _checkpoint_rows(bench: _Bench) -> Iterator[Row]:
    yield from _sw_fastedit_rows(bench)
    unet = fitted_files.fitted_unet(2, low=-1, residual_units=2)
    liver = fitted_files.fitted_unet(3)
    checkpoints: tuple[tuple[str, torch.nn.Module, Callable[[], oracles.Pipeline]], ...] = (
        ("monailabel_segmentation", fitted_files.fitted_segresnet(), oracles.monailabel_segmentation),
        ("monailabel_segmentation_spleen", unet, oracles.monailabel_spleen),
        ("deploy_spleen", fitted_files.fitted_unet(2), oracles.deploy_spleen),
        ("deploy_livertumor", liver, oracles.deploy_livertumor),
    )
    for preset, network, make_pipeline in checkpoints:
        if preset.startswith("deploy"):
            path = bench.folder / preset / "model.ts"
            path.parent.mkdir()
            fitted_files.write_program(path, torch.jit.script(network))
        else:
            path = fitted_files.write_state(bench.folder / f"{preset}.pt", network)
        theirs = oracles.run_pipeline(bench.image("CT"), network, make_pipeline())
        names = (preset, f"{path.suffix}, preset", "the transforms and the inferer of the application")
        yield _compare(names, bench.labels(bench.package(path, preset=preset), "CT"), theirs)


def _sw_fastedit_rows(bench: _Bench) -> Iterator[Row]:
    network, volume = fitted_files.fitted_sw_fastedit(), bench.read("PT").volume
    package = bench.package(
        fitted_files.write_sw_fastedit(bench.folder / "sw_fastedit.pt", network), preset="sw_fastedit"
    )
    indices = {Polarity.FOREGROUND: [(20, 30, 35), (9, 41, 20)], Polarity.BACKGROUND: [(25, 20, 40)]}
    positions = {polarity: volume.map_indices_to_reference(np.array(index)) for polarity, index in indices.items()}
    clicks = [Click("tumor", polarity, tuple(point)) for polarity, found in positions.items() for point in found]
    points = [[tuple(point * _LPS_TO_RAS) for point in positions[polarity]] for polarity in indices]
    theirs = oracles.run_pipeline(
        bench.image("PT"), network, oracles.sw_fastedit(), lambda image: oracles.draw_balls(image, points)
    )
    for runtime, bar in ((Runtime.TORCH, _BAR_WITH_CLICKS), (Runtime.OPENVINO, "-")):
        ours = bench.labels(package, "PT", Clicks(tuple(clicks), volume.frame_of_reference_uid), runtime)
        names = (f"SW-FastEdit, 3 clicks, {runtime.value}", ".pt, preset", "MONAI's transforms, balls drawn by hand")
        yield _compare(names, ours, theirs, bar)


def _program_rows(bench: _Bench) -> Iterator[Row]:
    network, own = fitted_files.fitted_unet(2), fitted_files.fitted_own_network()
    trace: Callable[..., torch.jit.ScriptModule] = torch.jit.trace
    load: Callable[..., torch.nn.Module] = torch.jit.load
    window = torch.zeros(1, 1, *_PROGRAM["window"]["roi"])
    programs = {
        "scripted UNet": torch.jit.script(network),
        "traced UNet": trace(network, window),
        "scripted UNet with two outputs": torch.jit.script(fitted_files.TwoOutputs(network).eval()),
        "own network, run as a program": torch.jit.script(own),
    }
    oracle = "torch, MONAI's transforms and inferer"
    for name, program in programs.items():
        path = fitted_files.write_program(bench.folder / f"{name.replace(' ', '_')}.ts", program, _PROGRAM)
        theirs = oracles.run_pipeline(bench.image("CT"), load(str(path)), oracles.simple_pipeline())
        yield _compare((name, ".ts, JSON file", oracle), bench.labels(bench.package(path), "CT"), theirs)
    path = fitted_files.write_program_with_metadata(bench.folder / "embedded.ts", torch.jit.script(network))
    theirs = oracles.run_pipeline(bench.image("CT"), load(str(path)), oracles.embedded_pipeline())
    names = ("scripted UNet", ".ts, embedded configuration", oracle)
    yield _compare(names, bench.labels(bench.package(path), "CT"), theirs)


def _compare(names: tuple[str, str, str], ours: LabelArray, theirs: LabelArray, bar: float | str = _BAR) -> Row:
    classes = sorted(({*np.unique(ours)} | {*np.unique(theirs)}) - {0})
    dice = [2 * ((ours == c) & (theirs == c)).sum() / ((ours == c).sum() + (theirs == c).sum()) for c in classes]
    return _row(names, 100 * float((ours == theirs).mean()), float(min(dice)), bar)


def _row(names: tuple[str, str, str], equal: float, worst_dice: float, bar: float | str) -> Row:
    model, file_format, oracle = names
    row: Row = {
        "model": model,
        "format": file_format,
        "oracle": oracle,
        "equal voxels %": round(equal, 4),
        "Dice of the worst class": round(worst_dice, 5),
        "bar %": bar,
    }
    print(*row.values(), sep=" | ", flush=True)
    return row
