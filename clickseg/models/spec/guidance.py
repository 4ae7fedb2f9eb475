"""How clicks, and the result before the last click, are encoded as channels of the network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clickseg.clicks.click import Polarity
from clickseg.core.validation import StrictModel


class ClickChannel(StrictModel):
    """One guidance channel; ``takes`` lists the pairs of label and polarity whose clicks it contains."""

    takes: Annotated[tuple[tuple[str, Polarity], ...], Field(min_length=1)]


class MaskChannel(StrictModel):
    """One channel with the result before the last click: 1 in the voxels of the classes in ``takes``."""

    takes: Annotated[tuple[str, ...], Field(min_length=1)]


class GuidanceSpec(StrictModel):
    """How clicks are encoded as channels: 1 in a ball of voxels around each click, 0 elsewhere.

    A model with ``previous_mask`` channels refines its own result: it is run without clicks, then once for each click
    in order. Each run has the result of the previous run as input: 1 in the voxels of the channel's classes, 0
    elsewhere, and 0 everywhere in the first run. With ``required``, a series is segmented only if it has a foreground
    click.
    """

    kind: Literal["ball"]
    radius_vox: Annotated[float, Field(ge=0, le=32)]
    channels: Annotated[tuple[ClickChannel, ...], Field(min_length=1)]
    previous_mask: tuple[MaskChannel, ...] = ()
    required: bool = False
