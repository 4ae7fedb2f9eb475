"""Writing what a run found: SEG, SR, preview, NIfTI, and report.json last."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from pydicom import Dataset
from typing_extensions import Self

from clickseg.dicom.algorithm import Algorithm
from clickseg.dicom.identity import encoded
from clickseg.dicom.reference import reference_headers
from clickseg.dicom.report import make_report
from clickseg.dicom.segmentation import make_segmentation
from clickseg.errors import ClickSegError, OutputError
from clickseg.nifti import write_nifti
from clickseg.outcome import Outcome
from clickseg.pipeline import Result
from clickseg.plan import Plan
from clickseg.preview import draw_preview
from clickseg.run_report import Segment, Written, run_report, series_entry
from clickseg.settings import Settings
from clickseg.staging import Staging

REPORT = "report.json"


class Results:
    """The results of a run: nothing of them is to be seen until the last one has come.

    Used as a context manager; what was not published when it is left is removed.
    """

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self._plan = plan
        self._settings = settings
        self._staging = Staging(settings.output, REPORT)
        self._outcomes: list[Outcome[Written]] = []

    def __enter__(self) -> Self:
        self._staging.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staging.__exit__(kind, error, trace)

    @property
    def errors(self) -> tuple[ClickSegError, ...]:
        """The errors of the series that failed so far."""
        return tuple(each.value for each in self._outcomes if isinstance(each.value, ClickSegError))

    @property
    def written(self) -> tuple[Written, ...]:
        """What was written so far."""
        return tuple(each.value for each in self._outcomes if not isinstance(each.value, ClickSegError))

    def summary(self) -> list[str]:
        """Returns what was found and where it lies, a line each."""
        output, lines = self._settings.output, []
        for written in self.written:
            lines += [f"{segment.label:8} {segment.volume_ml:.1f} ml" for segment in written.segments] or [
                "nothing was found"
            ]
            lines += [f"{kind:8} {output / name}" for kind, name in sorted(written.files.items())]
        return [*lines, f"report   {output / REPORT}"] if lines else []

    def add(self, outcome: Outcome[Result]) -> None:
        """Writes the result of one series; with the last one, publishes all, unless every series failed.

        Raises:
            OutputError: The results cannot be published.
        """
        self._outcomes.append(outcome.then("writing", self._write))
        if len(self._outcomes) == len(self._plan.tasks) and self.written:
            self._publish()

    def _publish(self) -> None:
        entries = [series_entry(outcome, self._settings) for outcome in self._outcomes]
        report = json.dumps(run_report(entries, self._plan, self._settings), indent=2) + "\n"
        _write_bytes(self._staging.folder / REPORT, report.encode())
        self._staging.publish()

    def _write(self, result: Result) -> Written:
        """Writes one result to the staging folder."""
        settings, series = self._settings, result.case.reference
        sources = reference_headers(series)
        algorithm = _algorithm(result)
        segments = _segments(result)
        segmentation = make_segmentation(
            series,
            sources,
            result.labels,
            result.case.package.spec,
            algorithm,
            segmentation_type=settings.segmentation_type,
            clock=settings.clock,
        )
        volumes_ml = [segment.volume_ml for segment in segments]
        report = make_report(
            sources, segmentation, volumes_ml, result.case.package.spec, algorithm, clock=settings.clock
        )
        main = report if segmentation is None else segmentation
        files = {"sr": self._save(report), "preview": self._draw(result, main)}
        if segmentation is not None:
            files["seg"] = self._save(segmentation)
        if settings.nifti:
            files["nifti"] = write_nifti(result, self._staging.folder / f"{main.SOPInstanceUID}.nii.gz")
        return Written(result, segments, files)

    def _save(self, dataset: Dataset) -> str:
        name = f"{dataset.SOPInstanceUID}.dcm"
        _write_bytes(self._staging.folder / name, encoded(dataset))
        return name

    def _draw(self, result: Result, dataset: Dataset) -> str:
        series, name = result.case.reference, f"{dataset.SOPInstanceUID}.png"
        picture = draw_preview(series.volume, series.unit, result.labels, result.case.bound, result.case.package.spec)
        try:
            picture.save(self._staging.folder / name)
        except OSError as error:
            raise OutputError(f"{name}: cannot be written: {error.strerror or error}") from error
        return name


def _algorithm(result: Result) -> Algorithm:
    package, predicted = result.case.package, result.predicted
    return Algorithm(
        model=package.name,
        model_version=package.version,
        weights_sha256=predicted.weights[0].sha256,
        clicks_sha256=result.case.clicks.digest,
        precision=str(predicted.engine["precision"]),
    )


def _segments(result: Result) -> tuple[Segment, ...]:
    """Returns the segments of a result, numbered as in its SEG."""
    voxel_ml = result.case.reference.volume.voxel_volume / 1000
    return tuple(
        Segment(
            order,
            result.case.package.spec.classes[number - 1].name,
            float(result.labels.mask(number).sum() * voxel_ml),
        )
        for order, number in enumerate(result.labels.present(), 1)
    )


def _write_bytes(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"{path.name}: cannot be written: {error.strerror}") from error
