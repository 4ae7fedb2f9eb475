"""All settings of a run, read once from the command line arguments and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clickseg.batch.series_choice import InputUids
from clickseg.clicks.click import Clicks
from clickseg.clicks.formats.grand_challenge import CoordinateSystem
from clickseg.core.clock import read_clock
from clickseg.core.errors import UsageError
from clickseg.core.options import option_value, parse_choice, parse_switch
from clickseg.dicom.repairs import Repairs
from clickseg.inference.runtime_settings import RuntimeSettings, read_runtime_settings
from clickseg.models.find import ModelPath, model_paths
from clickseg.models.importers.options import read_import_options
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage
from clickseg.results.segmentation import SegmentationType


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of one run.

    Attributes:
        input: A folder with DICOM files, or one file.
        output: The folder for the results, and for logits that do not fit into memory.
        models: The model packages and folders of packages to search, in order.
        model: The model package to use: its name, or the loaded package; None for the one that fits the series.
        import_options: What the user states about a model of another tool.
        clicks: Paths of click files, or ``none``; empty to search the input folder. Or clicks in memory.
        clicks_frame: The coordinate system of click files that do not define it.
        series_uids: The Series Instance UIDs to segment; empty for all series.
        input_uids: The Series Instance UIDs of inputs of the model, by name; or of all inputs, in order.
        repairs: The repairs allowed for irregular series.
        segmentation_type: The encoding of the SEG.
        postprocessing: Whether the model package's postprocessing is applied.
        nifti: Whether the label map is also written as NIfTI.
        statistics: Whether the report contains statistics of the values in each segment.
        runtime: How the network is run.
        clock: The date and time of the results.
    """

    input: Path
    output: Path
    models: tuple[ModelPath, ...]
    model: str | ModelPackage | None
    import_options: ImportOptions
    clicks: tuple[str, ...] | Clicks
    clicks_frame: CoordinateSystem
    series_uids: tuple[str, ...]
    input_uids: InputUids
    repairs: Repairs
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
        models: The path passed with ``-m``, if any.
        options: Values by option name; they take precedence over the environment.
        environ: Environment variables.

    Raises:
        UsageError: An option has a value that it does not accept, or a variable was renamed.
    """

    def value(name: str) -> str | None:
        return option_value(name, options, environ)

    return RunSettings(
        input=input_path,
        output=output_path,
        models=model_paths(models, environ),
        model=value("model"),
        import_options=read_import_options(options, environ),
        clicks=tuple(path for path in (value("clicks") or "").split(os.pathsep) if path),
        clicks_frame=parse_choice(CoordinateSystem, value("clicks-frame") or "voxel", "clicks-frame"),
        series_uids=_split_list(value("series")),
        input_uids=_parse_input_uids(value("input")),
        repairs=Repairs.parse(_split_list(value("repair"))),
        segmentation_type=parse_choice(
            SegmentationType, (value("segmentation-type") or "BINARY").upper(), "segmentation-type"
        ),
        postprocessing=parse_switch(value("postprocessing") or "on", "postprocessing"),
        nifti=parse_switch(value("nifti") or "off", "nifti"),
        statistics=parse_switch(value("statistics") or "off", "statistics"),
        runtime=read_runtime_settings(options, environ, output_path),
        clock=read_clock(environ),
    )


def _split_list(value: str | None) -> tuple[str, ...]:
    return tuple(item.strip() for item in (value or "").split(",") if item.strip())


def _parse_input_uids(value: str | None) -> dict[str, str]:
    """Returns the UIDs of ``NAME=UID,NAME=UID`` by name.

    Raises:
        UsageError: An entry is not of this form, or a name is used twice.
    """
    uids: dict[str, str] = {}
    for entry in _split_list(value):
        name, separator, uid = (part.strip() for part in entry.rpartition("="))
        if not separator or not name or not uid or name in uids:
            raise UsageError(f"input: expected NAME=UID for each input once, got {entry!r:.120}")
        uids[name] = uid
    return uids
