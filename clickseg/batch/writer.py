"""Writes the results of a run: SEG, SR, preview, NIfTI, and ``report.json`` last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from clickseg.batch.metadata import Metadata, run_metadata
from clickseg.batch.plan import RunPlan
from clickseg.batch.report import WrittenResult, run_report, series_entry, warn_of_unmatched_clicks
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import Outcome, run_step
from clickseg.core.errors import ClickSegError, OutputError
from clickseg.core.files import write_bytes
from clickseg.core.json_text import to_json
from clickseg.core.staging import Staging
from clickseg.inference.case import CaseResult
from clickseg.results.documents import make_documents
from clickseg.results.identity import Document
from clickseg.results.nifti import write_nifti
from clickseg.results.preview import draw_preview

REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The outcome of a run.

    Attributes:
        lines: The segments and the paths of the files, for a terminal.
        errors: The errors of the series that failed.
        metadata: The metadata for a workflow engine.
        is_published: Whether the results are in the output folder.
    """

    lines: tuple[str, ...]
    errors: tuple[ClickSegError, ...]
    metadata: Metadata
    is_published: bool


class ResultWriter:
    """Writes the results of a run to a staging folder, and publishes all of them when the last one is written.

    Used as a context manager: when it exits, results that were not published are removed. Of each result it keeps only
    the files and the report's entry, so that memory does not grow with the number of series.
    """

    def __init__(self, plan: RunPlan, settings: RunSettings) -> None:
        self._plan = plan
        self._settings = settings
        self._staging = Staging(settings.output, REPORT)
        self._entries: list[dict[str, Any]] = []
        self._errors: list[ClickSegError] = []
        self._lines: list[str] = []
        self._is_published = False

    def __enter__(self) -> Self:
        self._staging.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staging.__exit__(kind, error, trace)

    @property
    def summary(self) -> RunSummary:
        """The outcome of the run so far."""
        return RunSummary(tuple(self._lines), tuple(self._errors), run_metadata(self._entries), self._is_published)

    def write_all(self, outcomes: Iterable[Outcome[CaseResult]]) -> None:
        """Writes the results of a run, one after another.

        Raises:
            OutputError: The results cannot be published.
        """
        for outcome in outcomes:
            self.write(outcome)
            del outcome  # frees its volume before the next one is read

    def write(self, outcome: Outcome[CaseResult]) -> Outcome[WrittenResult]:
        """Writes the result of one series. After the last series, publishes all results, unless every series failed.

        Returns:
            The written result, or the error that stopped the series.

        Raises:
            OutputError: The results cannot be published.
        """
        written = run_step(outcome, "writing", self._write_result)
        warn_of_unmatched_clicks(outcome)
        self._entries.append(series_entry(written, self._settings))
        if isinstance(written.value, ClickSegError):
            self._errors.append(written.value)
        else:
            self._lines += _summary_lines(written.value, self._settings.output)
        if len(self._entries) == len(self._plan) and len(self._errors) < len(self._entries):
            self._publish()
        return written

    def _publish(self) -> None:
        report = to_json(run_report(self._entries, self._plan, self._settings)) + "\n"
        write_bytes(self._staging.folder / REPORT, report.encode())
        self._staging.publish()
        self._is_published = True
        self._lines.append(f"report   {self._settings.output / REPORT}")

    def _write_result(self, result: CaseResult) -> WrittenResult:
        """Writes one result to the staging folder."""
        documents = make_documents(result, self._settings.clock, self._settings.segmentation_type)
        files = {
            "sr": self._save_document(documents.structured_report),
            "preview": self._save_preview(result, documents.uid),
        }
        if documents.segmentation is not None:
            files["seg"] = self._save_document(documents.segmentation)
        if self._settings.nifti:
            files["nifti"] = write_nifti(result, self._staging.folder / f"{documents.uid}.nii.gz")
        return WrittenResult(documents, files)

    def _save_document(self, document: Document[Any]) -> str:
        name = f"{document.uid}.dcm"
        write_bytes(self._staging.unpublished_path(name), document.content)
        return name

    def _save_preview(self, result: CaseResult, uid: str) -> str:
        series, name = result.case.reference_series, f"{uid}.png"
        picture = draw_preview(
            series.volume, series.unit, result.labels, result.case.clicks.points, result.case.package.spec
        )
        try:
            picture.save(self._staging.folder / name)
        except OSError as error:
            raise OutputError(f"{name}: cannot be written: {error.strerror or error}") from error
        return name


def _summary_lines(written: WrittenResult, output: Path) -> list[str]:
    """Returns a line for each segment and for each file of a result."""
    segments = [f"{segment.label:8} {segment.measurements.volume_ml:.1f} ml" for segment in written.documents.segments]
    return [
        *(segments or ["no segments: the result is empty"]),
        *(f"{kind:8} {output / name}" for kind, name in sorted(written.file_names.items())),
    ]
