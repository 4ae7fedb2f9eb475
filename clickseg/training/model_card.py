"""The text that goes with a model: what it takes, what it was trained on and how, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from clickseg.models.spec import InputSpec
from clickseg.training.config import Training

_KEPT = {"largest": "the largest component", "clicked": "clicked components, where there are foreground clicks,"}


def model_card(how: Training, summary: Mapping[str, str]) -> str:
    """Returns a model card in Markdown, rendered from ``templates/model_card.md.j2``; values are escaped as HTML is.

    Args:
        how: The run.
        summary: What is said of the training, by headings.
    """
    environment = Environment(
        loader=PackageLoader("clickseg.training"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
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
