"""What is trained on a GPU, in order: each part has a time, and continues in the next run until that time is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickseg.training.config import TrainingConfig, read_config
from scripts.gpu.cases import FOLD_COUNT
from scripts.gpu.results import Row

PRETRAINED = "pretrained"
MODEL = "pet_lesion"

MODALITY = "PT"
"""The modality of the cases of the model."""

_CONFIG = Path(__file__).with_name("training.yaml")
_SYNTHETIC = (
    "name=pretrained",
    "synthesis.probability=1",
    "synthesis.appearances=[uptake,contrast]",
    "synthesis.unprompted=0.3",
)

_DRY = (
    "patch_size=[16,16,16]",
    "network.filters=[4,8,8,8]",
    "batch_size=1",
    "steps_per_epoch=1",
    "clicking.max_rounds=1",
    "model.window.roi=[16,16,16]",
)
"""A tiny network, to test the plan on a CPU."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the training.

    Attributes:
        name: The name of its file of weights.
        seconds: The time to train.
        held_out_fold: The fold whose cases are not used; None to use all cases.
    """

    name: str
    seconds: float
    held_out_fold: int | None = None

    @property
    def file_name(self) -> str:
        """The name of the file of its weights."""
        return f"{self.name}.pt"

    @property
    def is_synthetic(self) -> bool:
        """Whether it uses synthetic volumes only; all other parts start from its weights."""
        return self.name == PRETRAINED

    def make_config(self, num_workers: int, *, dry: bool, card: Path | None = None) -> TrainingConfig:
        """Returns the training configuration.

        Args:
            num_workers: The number of processes that prepare samples.
            dry: Whether the network is a tiny one.
            card: A file with the texts of the model card.
        """
        changes = [*(_SYNTHETIC if self.is_synthetic else ()), f"num_workers={num_workers}", *(_DRY if dry else ())]
        return read_config([MODEL, str(_CONFIG), *([str(card)] if card else [])], changes)


PLAN = (
    Part(PRETRAINED, 120),
    Part(MODEL, 120),
    *(Part(f"{MODEL}-fold-{number}", 90, number) for number in range(FOLD_COUNT)),
)


def trained_seconds(rows: Sequence[Row]) -> dict[str, float]:
    """Returns the time that each part has been trained, by name, from the rows of the result file."""
    return {str(row["part"]): float(row["s in all"]) for row in rows}


def remaining_parts(seconds: Mapping[str, float]) -> Iterator[tuple[Part, float]]:
    """Yields the parts that are not finished, and the time that each still needs.

    Args:
        seconds: The time that each part has been trained, by name.
    """
    for part in PLAN:
        missing = part.seconds - seconds.get(part.name, 0.0)
        if missing > 0:
            yield part, missing


def files_to_continue(seconds: Mapping[str, float]) -> list[str]:
    """Returns the names of the files of weights that the next run needs.

    Args:
        seconds: The time that each part has been trained, by name.
    """
    unfinished = [part.name for part, _ in remaining_parts(seconds)]
    started = [name for name in (PRETRAINED, *unfinished) if name in seconds and unfinished]
    return [f"{name}.pt" for name in dict.fromkeys(started)]
