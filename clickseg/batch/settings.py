"""Everything that a user can set for a run, read once at the edge from arguments and environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clickseg.clicks.click import Clicks
from clickseg.clicks.formats.grand_challenge import Frame
from clickseg.core.clock import read_clock
from clickseg.core.options import choice, option_value, switch
from clickseg.dicom.series import Remedies
from clickseg.inference.runtime_settings import RuntimeSettings, read_runtime_settings
from clickseg.models.find import ModelPath, model_paths
from clickseg.models.package import ModelPackage
from clickseg.results.segmentation import SegmentationType


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of one run.

    Attributes:
        input: A folder of DICOM, or one file.
        output: The folder for the results, and for logits that do not fit into memory.
        models: Where to look for model packages, in order.
        model: The model package asked for: its name, or the loaded package; None for the one that fits the series.
        clicks: Click files, or ``none``; empty to look in the input folder; or clicks in memory.
        clicks_frame: What the numbers of a click file are that names no frame.
        series_uids: The series asked for; none for all.
        remedies: What may be done with a series that is no volume as it is.
        segmentation_type: How the SEG is encoded.
        postprocessing: Whether the model package's postprocessing is applied.
        nifti: Whether the label map is written as NIfTI too.
        statistics: Whether the report holds statistics of each segment's values.
        runtime: How the network is run.
        clock: The time that is stamped on the results.
    """

    input: Path
    output: Path
    models: tuple[ModelPath, ...]
    model: str | ModelPackage | None
    clicks: tuple[str, ...] | Clicks
    clicks_frame: Frame
    series_uids: tuple[str, ...]
    remedies: Remedies
    segmentation_type: SegmentationType
    postprocessing: bool
    nifti: bool
    statistics: bool
    runtime: RuntimeSettings
    clock: datetime


def read_settings(
    input_path: Path,
    output_path: Path,
    models: Path | None,
    options: Mapping[str, str | None],
    environ: Mapping[str, str],
) -> RunSettings:
    """Returns the settings of a run.

    Args:
        input_path: The input.
        output_path: The output folder.
        models: What ``-m`` names, if anything.
        options: Values by the names of the options; these win over the environment.
        environ: Environment variables.

    Raises:
        UsageError: A value is none of those that an option takes.
    """

    def value(name: str) -> str | None:
        return option_value(name, options, environ)

    return RunSettings(
        input=input_path,
        output=output_path,
        models=model_paths(models, environ),
        model=value("model"),
        clicks=tuple(path for path in (value("clicks") or "").split(os.pathsep) if path),
        clicks_frame=choice(Frame, value("clicks-frame") or "voxel", "clicks-frame"),
        series_uids=_items(value("series")),
        remedies=Remedies.parse(_items(value("remedy"))),
        segmentation_type=choice(
            SegmentationType, (value("segmentation-type") or "BINARY").upper(), "segmentation-type"
        ),
        postprocessing=switch(value("postprocessing") or "on", "postprocessing"),
        nifti=switch(value("nifti") or "off", "nifti"),
        statistics=switch(value("statistics") or "off", "statistics"),
        runtime=read_runtime_settings(options, environ, output_path),
        clock=read_clock(environ),
    )


def _items(value: str | None) -> tuple[str, ...]:
    return tuple(item.strip() for item in (value or "").split(",") if item.strip())
