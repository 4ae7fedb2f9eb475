"""Which voxels and components are removed from a result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.core.validation import StrictModel
from clickseg.models.spec.fields import omit_if


class PostprocessingSpec(StrictModel):
    """Which voxels and components are removed from the result.

    ``min_value`` removes voxels whose value in the first input is lower, in its unit (an alternative has its own);
    ``min_volume_ml`` removes smaller components; ``keep`` keeps all components, the ``keep_count`` largest of each
    class, or those with a foreground click of their class. ``keep`` applies to all classes, or to ``keep_classes``.
    Components are found on the source grid, or on the model grid before its labels are brought to the source grid.
    """

    min_value: float | None = None
    min_volume_ml: Annotated[float, Field(ge=0)] = 0.0
    keep: Literal["all", "largest", "clicked"] = "all"
    keep_count: Annotated[int, Field(ge=1), omit_if(1)] = 1
    keep_classes: Annotated[tuple[str, ...] | None, Field(min_length=1), omit_if(None)] = None
    connectivity: Annotated[Literal["faces", "full"], omit_if("faces")] = "faces"
    grid: Annotated[Literal["source", "model"], omit_if("source")] = "source"

    @property
    def keeps_everything(self) -> bool:
        """Whether no voxel is ever removed."""
        return self.min_value is None and not self.min_volume_ml and self.keep == "all"

    def keep_rule(self, class_name: str) -> Literal["all", "largest", "clicked"]:
        """Returns which components of a class are kept."""
        return self.keep if self.keep_classes is None or class_name in self.keep_classes else "all"

    @model_validator(mode="after")
    def _check_keep(self) -> Self:
        if self.keep_count > 1 and self.keep != "largest":
            raise ValueError(f"keep_count: expected 1, or keep largest, got keep {self.keep}")
        if self.keep_classes is not None and self.keep == "all":
            raise ValueError("keep_classes: expected keep largest or clicked, got keep all")
        return self
