"""What training ends in: a model package (a MONAI Bundle) with weights for torch and OpenVINO, and plots of the run.

The model card says what a model takes, what it was trained on and how, and what it is not for.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from clickseg.core.files import write_bytes
from clickseg.core.templates import make_environment
from clickseg.inference.engines.export import export_openvino, list_weights
from clickseg.inference.engines.torch_engine import STATE_DICT
from clickseg.models.package import CONFIG, METADATA, load_package
from clickseg.models.spec import InputSpec
from clickseg.training.config import Training

_KEPT = {"largest": "the largest component", "clicked": "clicked components, where there are foreground clicks,"}

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"


def write_bundle(how: Training, network: torch.nn.Module, summary: Mapping[str, str], path: Path) -> None:
    """Writes a package; weights are rounded to 16 bits, in both kinds of files.

    Args:
        how: The run.
        network: Its network.
        summary: What is said of the training in the model card, by headings.
        path: The package's folder.

    Raises:
        OutputError: It cannot be written.
    """
    for folder in (path / METADATA.parent, path / "models", path / "docs"):
        folder.mkdir(parents=True, exist_ok=True)
    _write_json(path / CONFIG, {"network_def": how.network})
    _write_json(path / METADATA, metadata(how))
    write_bytes(path / "docs" / "README.md", model_card(how, summary).encode())
    buffer = io.BytesIO()
    torch.save(_in_16_bits(network.state_dict()), buffer)
    write_bytes(path / "models" / STATE_DICT, buffer.getvalue())
    package = load_package(path)
    list_weights(package, (STATE_DICT,))
    export_openvino(load_package(path))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def _in_16_bits(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns weights rounded to f16; those that a network has under several names are one, and are written once.

    Whole numbers, such as the indices of a SwinUNETR, stay what they are: f16 has not all of them above 2048.
    """
    halves: dict[int, torch.Tensor] = {}
    for weights in state.values():
        own = weights.detach().cpu()
        halves.setdefault(weights.data_ptr(), _rounded(own) if own.is_floating_point() else own)
    return {name: halves[weights.data_ptr()] for name, weights in state.items()}


def _rounded(weights: torch.Tensor) -> torch.Tensor:
    """Returns weights in f16; as they are where that cannot hold them, as with statistics of images in HU."""
    halves = weights.half()
    return halves if bool(torch.isfinite(halves).all()) else weights


def metadata(how: Training) -> dict[str, Any]:
    """Returns a bundle's ``metadata.json``, yet without digests of weights."""
    card, spec = how.card, how.model
    modalities = _modalities(how)
    labels = ", ".join(f"{number} {each.name}" for number, each in enumerate(spec.classes, 1))
    return {
        "schema": _SCHEMA,
        "version": card.version,
        "changelog": {card.version: "trained by clickseg train"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {},
        "name": card.title,
        "task": card.title,
        "description": card.title,
        "authors": card.authors,
        "copyright": card.copyright,
        "data_source": card.data_source,
        "image_classes": modalities,
        "label_classes": f"0 background, {labels}",
        "pred_classes": f"0 background, {labels}",
        "intended_use": card.intended_use,
        "references": list(card.references),
        "network_data_format": {
            "inputs": {"image": _data_format("image", _channels(how), spec.input_channels, how)},
            "outputs": {"pred": _data_format("segmentation", _classes(how), spec.output_channels, how)},
        },
        "clickseg": {**spec.model_dump(mode="json", exclude_none=True), "weights": {}},
    }


def _modalities(how: Training) -> str:
    return ", ".join(" or ".join(each.modalities) for each in how.model.inputs)


def _channels(how: Training) -> list[str]:
    guidance = how.model.guidance
    clicks = [
        " or ".join(f"{polarity.value} clicks of {label}" for label, polarity in each.takes)
        for each in (guidance.channels if guidance else ())
    ]
    masks = ["previous " + " or ".join(each.takes) for each in how.model.previous_mask]
    return [*(each.name for each in how.model.inputs), *clicks, *masks]


def _classes(how: Training) -> list[str]:
    return ["background", *(each.name for each in how.model.classes)]


def _data_format(form: str, channels: list[str], count: int, how: Training) -> dict[str, Any]:
    return {
        "type": "image",
        "format": form,
        "modality": _modalities(how),
        "num_channels": count,
        "spatial_shape": list(how.model.window.roi),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(number): name for number, name in enumerate(channels)},
    }


def model_card(how: Training, summary: Mapping[str, str]) -> str:
    """Returns a model card in Markdown, rendered from ``templates/model_card.md.j2``; values are escaped as HTML is.

    Args:
        how: The run.
        summary: What is said of the training, by headings.
    """
    environment = make_environment("clickseg.training")
    environment.filters["cell"] = _cell
    return environment.get_template("model_card.md.j2").render(
        name=how.name,
        card=how.card,
        model=_model_rows(how),
        training=[*_training_rows(how), *summary.items()],
    )


def _model_rows(how: Training) -> list[tuple[str, str]]:
    spec = how.model
    spacing = " x ".join(f"{each:g}" for each in spec.grid.spacing_mm)
    rows = [
        ("input", ", ".join(f"{each.name} ({_kinds(each)})" for each in spec.inputs)),
        ("grid", f"{spacing} mm, {spec.grid.orientation}"),
        ("window", f"{' x '.join(str(each) for each in spec.window.roi)}, overlap {spec.window.overlap:g}"),
        ("output", ", ".join(each.name for each in spec.classes)),
        ("network", str(how.network.get("_target_"))),
    ]
    if spec.guidance:
        balls = f"balls of radius {spec.guidance.radius_vox:g} voxels, {len(spec.guidance.channels)} channels"
        needed = "; only series with a foreground click are segmented" if spec.guidance.required else ""
        rows.append(("clicks", balls + needed))
    if spec.postprocessing.keep != "all":
        rows.append(("postprocessing", f"keeps {_KEPT[spec.postprocessing.keep]} of each class"))
    return rows


def _kinds(image: InputSpec) -> str:
    return " or ".join(f"{each.modality} {each.unit}".strip() for each in image.choices)


def _training_rows(how: Training) -> list[tuple[str, str]]:
    patch = " x ".join(str(each) for each in how.patch)
    return [
        ("samples", f"{how.epochs} epochs of {how.steps} batches of {how.batch}, {patch} voxels"),
        ("synthetic", f"{how.synthesis.share:.0%} of the samples"),
        ("clicks", f"0 to {how.clicking.most} simulated rounds for each sample, of at most two clicks for each class"),
        ("loss", f"{how.loss.name}, {how.optimization.optimizer}, learning rate {how.optimization.learning_rate:g}"),
        ("seed", str(how.seed)),
    ]


def _cell(text: str) -> str:
    """Returns a text for a cell of a Markdown table, which ends at a bar and at the end of the line."""
    return " ".join(text.splitlines()).replace("|", "\\|")


def write_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draws losses, and what was found in cases that are held out, over the epochs (PNG).

    Raises:
        OutputError: It cannot be written.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    for number, (group, label) in enumerate((("loss/", "loss"), ("dice/", "Dice, held out")), 1):
        axes = figure.add_subplot(1, 2, number)
        for name in sorted({name for each in history for name in each if name.startswith(group)}):
            points = [(each["epoch"], each[name]) for each in history if name in each]
            axes.plot(*zip(*points, strict=True), label=name.removeprefix(group))
        axes.set(xlabel="epoch", ylabel=label)
        if axes.lines:
            axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_bytes(path, buffer.getvalue())
