"""A network sees the axes that nnU-Net's readers of images give it; its labels are at the same places of the patient.

The classes of the network are steps upwards along its axes, so that labels depend on the order and the direction of
each axis. The expected labels are those of torch on the arrays of SimpleITK and nibabel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from clickseg.clicks.click import Clicks
from clickseg.evaluation.original.image_file import in_itk_order
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.network import build_from_definition
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.translation_cache import translate
from clickseg.models.importers.source_model import ImportOptions
from tests.helpers import nnunet_models as nn
from tests.helpers import phantoms
from tests.helpers.full_run import segment_series
from tests.helpers.oracles import torch

nibabel = pytest.importorskip("nibabel")

SHAPE, SPACING = (10, 12, 14), (3.1, 1.7, 0.9)
READERS = ("SimpleITKIO", "NibabelIO", "NibabelIOWithReorient")
STEPS = (1.0, 1.3, 1.7)
LABELS = {"background": 0, "first": 1, "second": 2, "third": 3}


def step_state(definition: dict[str, Any]) -> dict[str, Any]:
    """Returns weights with which class a is a step upwards along axis a - 1."""
    state = {name: torch.zeros_like(each) for name, each in build_from_definition(definition, "x").state_dict().items()}
    for axis, factor in enumerate(STEPS):
        before, after = [1, 1, 1], [1, 1, 1]
        before[axis], after[axis] = 0, 2
        state["encoder.stages.0.0.convs.0.conv.weight"][axis, 0, before[0], before[1], before[2]] = -factor
        state["encoder.stages.0.0.convs.0.conv.weight"][axis, 0, after[0], after[1], after[2]] = factor
        state["decoder.stages.0.convs.0.conv.weight"][axis, 4 + axis, 1, 1, 1] = 1  # after the upsampled channels
        state["decoder.seg_layers.0.weight"][axis + 1, axis] = 1
    state["decoder.seg_layers.0.bias"][0] = 50
    return state


def write_step_model(folder: Path, reader: str, transpose: list[int], grid: tuple[list[int], list[float]]) -> Path:
    """Writes a model whose window is the whole volume, at its spacing."""
    configuration = nn.make_configuration(
        patch_size=grid[0],
        spacing=grid[1],
        normalization_schemes=["NoNormalization"],
        architecture=nn.make_architecture(norm_op=None, norm_op_kwargs=None),
    )
    plans = nn.make_plans(configuration, image_reader_writer=reader, transpose_forward=transpose)
    definition = nn.network_of(nn.make_plans(), 1, 4) | {"norm_op": None, "norm_op_kwargs": {}}
    checkpoint = nn.make_checkpoint(nn.with_aliases(step_state(definition)), inference_allowed_mirroring_axes=None)
    return nn.write_model(folder, plans, nn.make_dataset(labels=LABELS), {"0": checkpoint})


def read_array(path: Path, reader: str) -> tuple[np.ndarray, list[float]]:
    """Returns the array and the spacing that a reader of nnU-Net gives for a file."""
    if reader == "SimpleITKIO":
        image = SimpleITK.ReadImage(str(path))
        return SimpleITK.GetArrayFromImage(image), list(image.GetSpacing())[::-1]
    image = nibabel.load(path)
    if reader == "NibabelIOWithReorient":
        image = nibabel.as_closest_canonical(image)
    return image.get_fdata().transpose(2, 1, 0), [float(each) for each in image.header.get_zooms()[::-1]]


def labels_in_patient(labels: np.ndarray, path: Path, reader: str, reference: SimpleITK.Image) -> np.ndarray:
    """Returns labels of the array of a reader on the grid of an image."""
    image = nibabel.load(path)
    if reader == "NibabelIOWithReorient":
        image = nibabel.as_closest_canonical(image)
    labelled = path.with_name("labels.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0).astype(np.int16), image.affine), labelled)
    nearest = SimpleITK.sitkNearestNeighbor
    moved = SimpleITK.Resample(SimpleITK.ReadImage(str(labelled)), reference, SimpleITK.Transform(), nearest)
    return SimpleITK.GetArrayFromImage(moved)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("stored_axes", "transpose"), [("LPS", [0, 1, 2]), ("RAS", [1, 0, 2]), ("ILA", [2, 0, 1])])
def test_labels_are_at_the_place_where_nnunet_has_them(
    tmp_path: Path, reader: str, stored_axes: str, transpose: list[int]
) -> None:
    volume = phantoms.hook_volume(phantoms.oblique_geometry(SHAPE, pixel_spacing=SPACING[1:], slice_spacing=SPACING[0]))
    volume = volume.with_array((volume.array * 100 - 50).astype(np.float32))
    series = phantoms.read(phantoms.write(tmp_path / "series", volume))
    itk_reader = SimpleITK.ImageSeriesReader()
    itk_reader.SetFileNames(itk_reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    reference = itk_reader.Execute()
    stored = tmp_path / "stored.nii.gz"
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(reference, stored_axes), str(stored))
    array, spacing = read_array(stored, reader)
    grid = [array.shape[axis] for axis in transpose], [spacing[axis] for axis in transpose]
    model = write_step_model(tmp_path / "m", reader, transpose, grid)
    network = build_from_definition(nn.network_of(nn.make_plans(), 1, 4) | {"norm_op": None, "norm_op_kwargs": {}}, "x")
    network.load_state_dict(step_state(nn.network_of(nn.make_plans(), 1, 4) | {"norm_op": None, "norm_op_kwargs": {}}))
    with torch.no_grad():
        window = torch.from_numpy(np.ascontiguousarray(array.transpose(transpose), np.float32))
        logits = network.eval()(window[None, None])[0]
    expected = labels_in_patient(logits.argmax(0).numpy().transpose(np.argsort(transpose)), stored, reader, reference)

    options = ImportOptions(stored_axes="" if reader == READERS[-1] else stored_axes)
    package = translate(model, options, tmp_path / "cache")
    engine = make_engine(package, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))
    labels = segment_series([series], Clicks(), package, engine).labels.array

    assert set(np.unique(expected)) == {0, 1, 2, 3}
    ordered, _ = in_itk_order(series.volume.with_array(labels))
    np.testing.assert_array_equal(ordered.array, expected)
