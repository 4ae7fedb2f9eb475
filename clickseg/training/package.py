"""Writes the result of training: a model package (MONAI Bundle) with weights for PyTorch and OpenVINO, and loss curves.

The model card in ``docs/README.md`` describes the inputs of the model, its training and its intended use.
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
from clickseg.inference.engines.export import export_openvino
from clickseg.inference.engines.torch_engine import STATE_DICT
from clickseg.models.package import INFERENCE_CONFIG, METADATA, load_package
from clickseg.models.spec import InputSpec
from clickseg.models.weights_files import write_weight_digests
from clickseg.training.config import TrainingConfig
from clickseg.training.f16_weights import convert_to_f16
from clickseg.training.validation import VALIDATION_DICE

_POSTPROCESSING = {
    "largest": "keeps the largest component of each class",
    "clicked": "for each class with foreground clicks, keeps the components that contain one",
}

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"


def write_bundle(config: TrainingConfig, network: torch.nn.Module, summary: Mapping[str, str], path: Path) -> None:
    """Writes a model package; weights are rounded to f16 in the files of both runtimes.

    Args:
        config: The training configuration.
        network: The trained network.
        summary: Further rows of the model card about the training.
        path: The folder of the package.

    Raises:
        OutputError: A file cannot be written.
    """
    for folder in (path / METADATA.parent, path / "models", path / "docs"):
        folder.mkdir(parents=True, exist_ok=True)
    _write_json(path / INFERENCE_CONFIG, {"network_def": config.network})
    _write_json(path / METADATA, make_metadata(config))
    write_bytes(path / "docs" / "README.md", render_model_card(config, summary).encode())
    buffer = io.BytesIO()
    torch.save(convert_to_f16(network.state_dict()), buffer)
    write_bytes(path / "models" / STATE_DICT, buffer.getvalue())
    package = load_package(path)
    write_weight_digests(package, (STATE_DICT,))
    export_openvino(load_package(path))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def make_metadata(config: TrainingConfig) -> dict[str, Any]:
    """Returns the bundle's ``metadata.json``, without the digests of the weights."""
    card, spec = config.card, config.model
    modalities = _modality_names(config)
    labels = ", ".join(f"{number} {class_spec.name}" for number, class_spec in enumerate(spec.classes, 1))
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
            "inputs": {"image": _data_format("image", _channel_names(config), spec.input_channels, config)},
            "outputs": {"pred": _data_format("segmentation", _class_names(config), spec.output_channels, config)},
        },
        "clickseg": {**spec.model_dump(mode="json", exclude_none=True), "weights": {}},
    }


def _modality_names(config: TrainingConfig) -> str:
    return ", ".join(" or ".join(image.modalities) for image in config.model.inputs)


def _channel_names(config: TrainingConfig) -> list[str]:
    guidance = config.model.guidance
    clicks = [
        " or ".join(f"{polarity.value} clicks of {label}" for label, polarity in channel.takes)
        for channel in (guidance.channels if guidance else ())
    ]
    masks = ["previous " + " or ".join(channel.takes) for channel in config.model.previous_mask]
    return [*(image.name for image in config.model.inputs), *clicks, *masks]


def _class_names(config: TrainingConfig) -> list[str]:
    return ["background", *(class_spec.name for class_spec in config.model.classes)]


def _data_format(data_format: str, channels: list[str], count: int, config: TrainingConfig) -> dict[str, Any]:
    return {
        "type": "image",
        "format": data_format,
        "modality": _modality_names(config),
        "num_channels": count,
        "spatial_shape": list(config.model.window.roi),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(number): name for number, name in enumerate(channels)},
    }


def render_model_card(config: TrainingConfig, summary: Mapping[str, str]) -> str:
    """Returns the model card in Markdown, rendered from ``templates/model_card.md.j2`` with HTML escaping.

    Args:
        config: The training configuration.
        summary: Further rows about the training.
    """
    environment = make_environment("clickseg.training")
    environment.filters["cell"] = _escape_cell
    return environment.get_template("model_card.md.j2").render(
        name=config.name,
        card=config.card,
        model=_model_rows(config),
        training=[*_training_rows(config), *summary.items()],
    )


def _model_rows(config: TrainingConfig) -> list[tuple[str, str]]:
    spec = config.model
    spacing = " x ".join(f"{length:g}" for length in spec.grid.resolved_spacing_mm)
    rows = [
        ("input", ", ".join(f"{image.name} ({_modality_and_unit(image)})" for image in spec.inputs)),
        ("model grid", f"{spacing} mm, {spec.grid.orientation}"),
        ("window", f"{_size_text(spec.window.roi)} voxels, overlap {spec.window.overlap:g}"),
        ("classes", ", ".join(class_spec.name for class_spec in spec.classes)),
        ("network", str(config.network.get("_target_"))),
    ]
    if spec.guidance:
        balls = f"balls of radius {spec.guidance.radius_vox:g} voxels, {len(spec.guidance.channels)} channels"
        required = "; requires at least one foreground click" if spec.guidance.required else ""
        rows.append(("clicks", balls + required))
    if spec.postprocessing.keep != "all":
        rows.append(("postprocessing", _POSTPROCESSING[spec.postprocessing.keep]))
    return rows


def _modality_and_unit(image: InputSpec) -> str:
    return " or ".join(f"{choice.modality} {choice.unit}".strip() for choice in image.image_specs)


def _size_text(size: Sequence[int]) -> str:
    return " x ".join(str(length) for length in size)


def _training_rows(config: TrainingConfig) -> list[tuple[str, str]]:
    optimization = config.optimization
    return [
        ("epochs", f"{config.epochs} of {config.steps_per_epoch} steps"),
        ("batch", f"{config.batch_size} patches of {_size_text(config.patch_size)} voxels"),
        ("synthetic samples", f"{config.synthesis.probability:.0%}"),
        (
            "simulated clicks",
            f"0 to {config.clicking.max_rounds} rounds, at most one foreground and one background click "
            "for each class and round",
        ),
        ("loss", config.loss.name),
        ("optimizer", f"{optimization.optimizer}, learning rate {optimization.learning_rate:g}"),
        ("seed", str(config.seed)),
    ]


def _escape_cell(text: str) -> str:
    """Returns a text for a cell of a Markdown table: on one line, with bars escaped."""
    return " ".join(text.splitlines()).replace("|", "\\|")


def write_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Plots losses and validation Dice coefficients over the epochs (PNG).

    Raises:
        OutputError: The file cannot be written.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    for number, (prefix, label) in enumerate((("loss/", "loss"), (VALIDATION_DICE, "Dice, held-out cases")), 1):
        axes = figure.add_subplot(1, 2, number)
        for name in sorted({name for metrics in history for name in metrics if name.startswith(prefix)}):
            points = [(metrics["epoch"], metrics[name]) for metrics in history if name in metrics]
            axes.plot(*zip(*points, strict=True), label=name.removeprefix(prefix).replace("_", " "))
        axes.set(xlabel="epoch", ylabel=label)
        if axes.lines:
            axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_bytes(path, buffer.getvalue())
