"""Writing the results of a run: SEG, SR, preview, NIfTI, and report.json last."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from clickseg.batch.metadata import Metadata, run_metadata
from clickseg.batch.plan import Plan
from clickseg.batch.report import Written, log_result, run_report, series_entry
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import Outcome, run_step
from clickseg.core.errors import ClickSegError, OutputError
from clickseg.core.files import write_bytes
from clickseg.core.staging import Staging
from clickseg.inference.case import Result
from clickseg.results.documents import make_documents
from clickseg.results.identity import Document
from clickseg.results.nifti import write_nifti
from clickseg.results.preview import draw_preview

REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What came of a run.

    Attributes:
        lines: What was found and where it lies, for a terminal.
        errors: The errors of the series that failed.
        metadata: What a workflow engine is told.
        is_published: Whether results are in the output folder.
    """

    lines: tuple[str, ...]
    errors: tuple[ClickSegError, ...]
    metadata: Metadata
    is_published: bool


class ResultWriter:
    """Writes the results of a run: nothing of them is to be seen until the last one has come.

    Used as a context manager; what was not published when it is left is removed. Of each result only its files and its
    entry in the report are kept, so that memory does not grow with the number of series.
    """

    def __init__(self, plan: Plan, settings: RunSettings) -> None:
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
        """What came of the run so far."""
        return RunSummary(tuple(self._lines), tuple(self._errors), run_metadata(self._entries), self._is_published)

    def write_all(self, outcomes: Iterable[Outcome[Result]]) -> None:
        """Writes the results of a run as they come.

        Raises:
            OutputError: The results cannot be published.
        """
        for outcome in outcomes:
            self.write(outcome)
            del outcome  # else its volume would be kept while the next one is read

    def write(self, outcome: Outcome[Result]) -> Outcome[Written]:
        """Writes the result of one series; with the last one, publishes all, unless every series failed.

        Returns:
            What was written of it, or the error that stopped it.

        Raises:
            OutputError: The results cannot be published.
        """
        written = run_step(outcome, "writing", self._write)
        log_result(outcome)
        self._entries.append(series_entry(written, self._settings))
        if isinstance(written.value, ClickSegError):
            self._errors.append(written.value)
        else:
            self._lines += _described(written.value, self._settings.output)
        if len(self._entries) == len(self._plan) and len(self._errors) < len(self._entries):
            self._publish()
        return written

    def _publish(self) -> None:
        report = json.dumps(run_report(self._entries, self._plan, self._settings), indent=2) + "\n"
        write_bytes(self._staging.folder / REPORT, report.encode())
        self._staging.publish()
        self._is_published = True
        self._lines.append(f"report   {self._settings.output / REPORT}")

    def _write(self, result: Result) -> Written:
        """Writes one result to the staging folder."""
        documents = make_documents(result, self._settings.clock, self._settings.segmentation_type)
        files = {"sr": self._save(documents.report), "preview": self._draw(result, documents.uid)}
        if documents.segmentation is not None:
            files["seg"] = self._save(documents.segmentation)
        if self._settings.nifti:
            files["nifti"] = write_nifti(result, self._staging.folder / f"{documents.uid}.nii.gz")
        return Written(documents, files)

    def _save(self, document: Document[Any]) -> str:
        name = f"{document.uid}.dcm"
        write_bytes(self._staging.waiting(name), document.content)
        return name

    def _draw(self, result: Result, uid: str) -> str:
        series, name = result.case.reference, f"{uid}.png"
        picture = draw_preview(
            series.volume, series.unit, result.labels, result.case.clicks.points, result.case.package.spec
        )
        try:
            picture.save(self._staging.folder / name)
        except OSError as error:
            raise OutputError(f"{name}: cannot be written: {error.strerror or error}") from error
        return name


def _described(written: Written, output: Path) -> list[str]:
    """Returns a line for each segment and each file of a result."""
    found = [f"{segment.label:8} {segment.measured.volume_ml:.1f} ml" for segment in written.documents.segments]
    return [
        *(found or ["nothing was found"]),
        *(f"{kind:8} {output / name}" for kind, name in sorted(written.files.items())),
    ]
