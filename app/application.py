"""The MONAI Deploy application: the graph of operators."""

from __future__ import annotations

import os
from pathlib import Path

from monai.deploy.core import AppContext, Application

from clickseg.batch.plan import make_plan
from clickseg.batch.report import log_plan
from clickseg.batch.settings import read_settings
from clickseg.batch.steps import InferenceStep
from clickseg.batch.writer import ResultWriter, RunSummary
from clickseg.cli.terminal import begin_run, progress_bar, set_up_logging
from clickseg.core.errors import OutputError
from operators import ports
from operators.inference import InferenceOperator
from operators.loader import LoaderOperator
from operators.postprocessing import PostprocessingOperator
from operators.preprocessing import PreprocessingOperator
from operators.segmentation_writer import SegmentationWriterOperator

_LOG_LEVELS = {"WARN": "WARNING", "CRITICAL": "ERROR"}
"""Levels of the SDK that ClickSeg does not have, and the levels that replace them."""


class ClickSegApplication(Application):
    """Reads DICOM series and clicks, and writes DICOM SEG and SR.

    Attributes:
        output: The output folder; None until the arguments have been read.
        writer: Writes the results; None until the run has been planned.
    """

    output: Path | None = None
    writer: ResultWriter | None = None

    def compose(self) -> None:
        """Reads the settings, plans the run, and connects the operators."""
        context = self._read_arguments()
        self.output = Path(context.output_path)
        begin_run(self.output, os.environ)
        model = context.args.get("model")
        settings = read_settings(Path(context.input_path), self.output, Path(model) if model else None, {}, os.environ)
        plan = make_plan(settings)
        log_plan(plan)
        self.writer = ResultWriter(plan, settings)
        loader = LoaderOperator(self, plan=plan, name="loader")
        preprocessing = PreprocessingOperator(self, name="preprocessing")
        inference = InferenceOperator(self, inference=InferenceStep(settings.runtime, progress_bar()), name="inference")
        postprocessing = PostprocessingOperator(self, settings=settings, name="postprocessing")
        writer = SegmentationWriterOperator(self, writer=self.writer, name="segmentation_writer")
        self.add_flow(loader, preprocessing, {(ports.CASE, ports.CASE)})
        self.add_flow(preprocessing, inference, {(ports.PREPROCESSED, ports.PREPROCESSED)})
        self.add_flow(inference, postprocessing, {(ports.PREDICTED, ports.PREDICTED)})
        self.add_flow(postprocessing, writer, {(ports.RESULT, ports.RESULT)})

    @property
    def summary(self) -> RunSummary | None:
        """The outcome of the run so far; None until the run has been planned."""
        return self.writer.summary if self.writer else None

    def _read_arguments(self) -> AppContext:
        """Reads arguments and environment variables as every MONAI Deploy application does.

        Without a requested log level, the SDK receives ERROR, because it would log its own actions.
        """
        argv = list(self.argv)
        has_level = any(argument.startswith(("-l", "--log-level")) for argument in argv)
        try:
            context = Application.init_app_context(argv if has_level else [*argv, "-l", "ERROR"])
        except OSError as error:
            raise OutputError(f"{error.filename}: cannot be written to: {error.strerror}") from error
        level = str(context.args["log_level"]) if has_level else "INFO"
        set_up_logging(_LOG_LEVELS.get(level, level))
        return context
