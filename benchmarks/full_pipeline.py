"""The whole job, DICOM to SEG: ClickSeg against MONAI's transforms and inferer with highdicom, the same network."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median
from time import perf_counter

import highdicom as hd
import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import SegResNet
from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Orientation, ScaleIntensityRange, Spacing
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from scipy.ndimage import zoom

from benchmarks.answers import ct_spec
from benchmarks.table import Row, publish
from clickseg.cli.main import main
from clickseg.core.arrays import Numbers
from clickseg.datasets.phantom import write_series
from clickseg.inference.engines.export import export_openvino, list_weights
from clickseg.models.package import load_package
from tests.helpers import phantoms

_SHAPE = (300, 512, 512)
_MODEL_MM = 1.5
_ROI = (96, 96, 96)
_OVERLAP = 0.25
_CLASSES = 14
_RANGE = {"a_min": -1000.0, "a_max": 1000.0, "b_min": -1.0, "b_max": 1.0}
_REPEATS = 5
_NETWORK = {"init_filters": 8, "in_channels": 1, "out_channels": _CLASSES}


def run(_: Path) -> None:
    """Measures, prints and keeps the table."""
    with tempfile.TemporaryDirectory() as folder:
        study, models = Path(folder, "study"), Path(folder, "models")
        _write_study(study)
        network = _write_model(models / "segresnet")
        ways: dict[str, Callable[[Path], None]] = {
            "MONAI f32": lambda output: _monai(study, network, output),
            "ClickSeg f32": lambda output: _ours(study, models, output, "f32"),
            "ClickSeg bf16": lambda output: _ours(study, models, output, "bf16"),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        found: dict[str, Numbers] = {}
        for repeat in range(_REPEATS):
            for way, work in ways.items():
                start = perf_counter()
                output = Path(folder, f"{way} {repeat}")
                work(output)
                seconds[way].append(perf_counter() - start)
                found[way] = _labels(output)
    publish(
        "whole_job",
        f"CT of 512 x 512 x 300 to SEG, {_MODEL_MM} mm, {_CLASSES} classes, SegResNet with random weights, ROI 96, "
        f"overlap {_OVERLAP}; median of {_REPEATS}, in turn",
        [_row(way, seconds, found) for way in ways],
    )


def _row(way: str, seconds: dict[str, list[float]], found: dict[str, Numbers]) -> Row:
    return {
        "way": way,
        "s": round(median(seconds[way]), 1),
        "times less": round(median(seconds["MONAI f32"]) / median(seconds[way]), 2),
        "same label %": round(100 * float((found[way] == found["MONAI f32"]).mean()), 3),
    }


def _write_study(folder: Path) -> None:
    """Writes a CT that is smooth as bodies are, and the same in no two places."""
    coarse = np.random.default_rng(1).normal(0, 400, (20, 34, 34)).astype(np.float32)
    values = zoom(coarse, [wanted / have for wanted, have in zip(_SHAPE, coarse.shape, strict=True)], order=1)
    geometry = phantoms.oblique_geometry(_SHAPE, axes=np.eye(3), pixel_spacing=(0.8, 0.8), slice_spacing=1.5)
    write_series(folder, geometry.with_array(np.round(np.clip(values, -1000, 1000))), phantoms.header("CT"))


def _write_model(folder: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    network: torch.nn.Module = SegResNet(**_NETWORK).eval()
    section = ct_spec(_CLASSES, _ROI, _MODEL_MM).model_dump(mode="json")
    section["inputs"][0]["scaling"] = {"kind": "range", **_RANGE}
    section["window"]["overlap"] = _OVERLAP
    phantoms.write_package(folder, section, {"_target_": "monai.networks.nets.SegResNet", **_NETWORK})
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    list_weights(load_package(folder), ("model.pt",))
    export_openvino(load_package(folder))
    return network


def _ours(study: Path, models: Path, output: Path, precision: str) -> None:
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        status = main(["segment", str(study), "-o", str(output), "-m", str(models), "--precision", precision])
    if status:
        raise SystemExit(status)


def _monai(study: Path, network: torch.nn.Module, output: Path) -> None:
    """Segments as MONAI's tutorials do; logits are brought back one class at a time, since all take 13 GB."""
    image = Compose([LoadImage(reader="PydicomReader", image_only=True), EnsureChannelFirst()])(study)
    oriented = Orientation("RAS", labels=None)(image)
    spaced = Spacing(pixdim=(_MODEL_MM,) * 3, mode="bilinear")(oriented)
    scaled = ScaleIntensityRange(**_RANGE, clip=True)(spaced)
    inferer = SlidingWindowInferer(_ROI, sw_batch_size=1, overlap=_OVERLAP, mode="gaussian")
    with torch.inference_mode():
        logits = inferer(scaled.as_tensor()[None], network)[0]
        labels = _back(logits, scaled, oriented)
    turned = Orientation(axcodes="LPS", labels=None)(MetaTensor(labels[None].float(), affine=oriented.affine))[0]
    _write_seg(study, turned.numpy().astype(np.uint8).transpose(2, 1, 0), output)


def _back(logits: torch.Tensor, scaled: MetaTensor, oriented: MetaTensor) -> torch.Tensor:
    """Returns the class of the highest logit at each voxel of the oriented image."""
    best = torch.full(oriented.shape[1:], -torch.inf)
    labels = torch.zeros(oriented.shape[1:], dtype=torch.uint8)
    back = Spacing(pixdim=[float(each) for each in oriented.pixdim], mode="bilinear")
    for number, channel in enumerate(logits):
        values = back(MetaTensor(channel[None], affine=scaled.affine), output_spatial_shape=oriented.shape[1:])[0]
        higher = values.as_tensor() > best
        best[higher] = values.as_tensor()[higher]
        labels[higher] = number
    return labels


def _write_seg(study: Path, labels: Numbers, output: Path) -> None:
    images = sorted((dcmread(path) for path in study.rglob("*.dcm")), key=lambda each: each.ImagePositionPatient[2])
    present = [number for number in range(1, _CLASSES) if (labels == number).any()]
    lut = np.zeros(_CLASSES, np.uint8)
    lut[present] = np.arange(1, len(present) + 1)
    seg = hd.seg.Segmentation(
        source_images=images,
        pixel_array=lut[labels],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_described(order, number) for order, number in enumerate(present, 1)],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="benchmark",
        manufacturer_model_name="benchmark",
        software_versions="1",
        device_serial_number="1",
    )
    output.mkdir()
    seg.save_as(output / "seg.dcm")


def _described(order: int, number: int) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        order, f"c{number}", codes.SCT.Organ, codes.SCT.Liver, hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC, _algorithm()
    )


def _algorithm() -> hd.AlgorithmIdentificationSequence:
    return hd.AlgorithmIdentificationSequence("benchmark", codes.DCM.ArtificialIntelligence, "1")


def _labels(folder: Path) -> Numbers:
    """Returns the classes [K, J, I] of a SEG, by the labels of its segments."""
    (path,) = (path for path in folder.glob("*.dcm") if _is_seg(dcmread(path, stop_before_pixels=True)))
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    seg = dcmread(path, stop_before_pixels=True)
    numbers = np.zeros(len(seg.SegmentSequence) + 1, np.uint8)
    for segment in seg.SegmentSequence:
        numbers[segment.SegmentNumber] = int(segment.SegmentLabel[1:])
    labels: Numbers = numbers[volume.array]
    return labels


def _is_seg(dataset: Dataset) -> bool:
    return str(dataset.Modality) == "SEG"
