"""From DICOM to SEG with the same network: ClickSeg, and MONAI's transforms and inferer with highdicom."""

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

from benchmarks.stub_engine import ct_spec
from benchmarks.table import Row, publish
from clickseg.cli.main import main
from clickseg.core.arrays import LabelArray
from clickseg.datasets.phantom import write_series
from clickseg.inference.engines.export import export_openvino
from clickseg.models.package import load_package
from clickseg.models.weights_files import write_weight_digests
from tests.helpers import phantoms

_SHAPE = (300, 512, 512)
_MODEL_MM = 1.5
_ROI = (96, 96, 96)
_OVERLAP = 0.25
_CLASSES = 14
_INTENSITY_RANGE = {"a_min": -1000.0, "a_max": 1000.0, "b_min": -1.0, "b_max": 1.0}
_REPEATS = 5
_NETWORK = {"init_filters": 8, "in_channels": 1, "out_channels": _CLASSES}


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    with tempfile.TemporaryDirectory() as folder:
        study, models = Path(folder, "study"), Path(folder, "models")
        _write_study(study)
        network = _write_model(models / "segresnet")
        methods: dict[str, Callable[[Path], None]] = {
            "MONAI f32": lambda output: _run_monai(study, network, output),
            "ClickSeg f32": lambda output: _run_clickseg(study, models, output, "f32"),
            "ClickSeg bf16": lambda output: _run_clickseg(study, models, output, "bf16"),
        }
        seconds: dict[str, list[float]] = {method: [] for method in methods}
        labels: dict[str, LabelArray] = {}
        for repeat in range(_REPEATS):
            for method, segment in methods.items():
                start = perf_counter()
                output = Path(folder, f"{method} {repeat}")
                segment(output)
                seconds[method].append(perf_counter() - start)
                labels[method] = _read_labels(output)
    publish(
        "full_pipeline",
        f"CT of 512 x 512 x 300 to SEG, {_MODEL_MM} mm, {_CLASSES} classes, SegResNet with random weights, ROI 96, "
        f"overlap {_OVERLAP}; median of {_REPEATS} interleaved runs",
        [_row(method, seconds, labels) for method in methods],
    )


def _row(method: str, seconds: dict[str, list[float]], labels: dict[str, LabelArray]) -> Row:
    return {
        "method": method,
        "s": round(median(seconds[method]), 1),
        "speed-up over MONAI f32": round(median(seconds["MONAI f32"]) / median(seconds[method]), 2),
        "identical labels %": round(100 * float((labels[method] == labels["MONAI f32"]).mean()), 3),
    }


def _write_study(folder: Path) -> None:
    """Writes a CT that is as smooth as a body and does not repeat itself."""
    coarse = np.random.default_rng(1).normal(0, 400, (20, 34, 34)).astype(np.float32)
    values = zoom(coarse, [size / coarse_size for size, coarse_size in zip(_SHAPE, coarse.shape, strict=True)], order=1)
    geometry = phantoms.oblique_geometry(_SHAPE, axes=np.eye(3), pixel_spacing=(0.8, 0.8), slice_spacing=1.5)
    write_series(folder, geometry.with_array(np.round(np.clip(values, -1000, 1000))), phantoms.header("CT"))


def _write_model(folder: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    network: torch.nn.Module = SegResNet(**_NETWORK).eval()
    section = ct_spec(_CLASSES, _ROI, _MODEL_MM).model_dump(mode="json")
    section["inputs"][0]["scaling"] = {"kind": "range", **_INTENSITY_RANGE}
    section["window"]["overlap"] = _OVERLAP
    phantoms.write_package(folder, section, {"_target_": "monai.networks.nets.SegResNet", **_NETWORK})
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    write_weight_digests(load_package(folder), ("model.pt",))
    export_openvino(load_package(folder))
    return network


def _run_clickseg(study: Path, models: Path, output: Path, precision: str) -> None:
    with Path(os.devnull).open("w") as null, redirect_stdout(null):
        status = main(["segment", str(study), "-o", str(output), "-m", str(models), "--precision", precision])
    if status:
        raise SystemExit(status)


def _run_monai(study: Path, network: torch.nn.Module, output: Path) -> None:
    """Segments as MONAI's tutorials do; logits are resampled one class at a time, because all classes need 13 GB."""
    image = Compose([LoadImage(reader="PydicomReader", image_only=True), EnsureChannelFirst()])(study)
    oriented = Orientation("RAS", labels=None)(image)
    spaced = Spacing(pixdim=(_MODEL_MM,) * 3, mode="bilinear")(oriented)
    scaled = ScaleIntensityRange(**_INTENSITY_RANGE, clip=True)(spaced)
    inferer = SlidingWindowInferer(_ROI, sw_batch_size=1, overlap=_OVERLAP, mode="gaussian")
    with torch.inference_mode():
        logits = inferer(scaled.as_tensor()[None], network)[0]
        labels = _resample_labels(logits, scaled, oriented)
    reoriented = Orientation(axcodes="LPS", labels=None)(MetaTensor(labels[None].float(), affine=oriented.affine))[0]
    _write_seg(study, reoriented.numpy().astype(np.uint8).transpose(2, 1, 0), output)


def _resample_labels(logits: torch.Tensor, scaled: MetaTensor, oriented: MetaTensor) -> torch.Tensor:
    """Returns the class of the highest logit at each voxel of the oriented image."""
    best = torch.full(oriented.shape[1:], -torch.inf)
    labels = torch.zeros(oriented.shape[1:], dtype=torch.uint8)
    resample = Spacing(pixdim=[float(spacing) for spacing in oriented.pixdim], mode="bilinear")
    for number, channel in enumerate(logits):
        values = resample(MetaTensor(channel[None], affine=scaled.affine), output_spatial_shape=oriented.shape[1:])[0]
        higher = values.as_tensor() > best
        best[higher] = values.as_tensor()[higher]
        labels[higher] = number
    return labels


def _write_seg(study: Path, labels: LabelArray, output: Path) -> None:
    images = sorted((dcmread(path) for path in study.rglob("*.dcm")), key=lambda image: image.ImagePositionPatient[2])
    present = [number for number in range(1, _CLASSES) if (labels == number).any()]
    lut = np.zeros(_CLASSES, np.uint8)
    lut[present] = np.arange(1, len(present) + 1)
    seg = hd.seg.Segmentation(
        source_images=images,
        pixel_array=lut[labels],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe_segment(order, number) for order, number in enumerate(present, 1)],
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


def _describe_segment(order: int, number: int) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        order, f"c{number}", codes.SCT.Organ, codes.SCT.Liver, hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC, _algorithm()
    )


def _algorithm() -> hd.AlgorithmIdentificationSequence:
    return hd.AlgorithmIdentificationSequence("benchmark", codes.DCM.ArtificialIntelligence, "1")


def _read_labels(folder: Path) -> LabelArray:
    """Returns the label map [K, J, I] of a SEG; class numbers are in the labels of its segments."""
    (path,) = (path for path in folder.glob("*.dcm") if _is_seg(dcmread(path, stop_before_pixels=True)))
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    seg = dcmread(path, stop_before_pixels=True)
    numbers = np.zeros(len(seg.SegmentSequence) + 1, np.uint8)
    for segment in seg.SegmentSequence:
        numbers[segment.SegmentNumber] = int(segment.SegmentLabel[1:])
    labels: LabelArray = numbers[volume.array]
    return labels


def _is_seg(dataset: Dataset) -> bool:
    return str(dataset.Modality) == "SEG"
