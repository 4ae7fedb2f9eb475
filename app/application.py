"""The graph of operators."""

from __future__ import annotations

import os
from pathlib import Path

from monai.deploy.core import AppContext, Application

from clickseg.batch.plan import make_plan
from clickseg.batch.report import log_plan
from clickseg.batch.settings import read_settings
from clickseg.batch.steps import Inference
from clickseg.batch.writer import ResultWriter, RunSummary
from clickseg.cli.terminal import begin, progress_bar, set_up
from clickseg.core.errors import OutputError
from operators import ports
from operators.inference import InferenceOperator
from operators.loader import LoaderOperator
from operators.postprocessing import PostprocessingOperator
from operators.preprocessing import PreprocessingOperator
from operators.segmentation_writer import SegmentationWriterOperator

_LEVELS = {"WARN": "WARNING", "CRITICAL": "ERROR"}


class ClickSegApplication(Application):
    """DICOM series and clicks in, DICOM SEG out.

    Attributes:
        output: The output folder; None until the arguments were read.
        writer: What writes the results; None until it is decided what to run.
    """

    output: Path | None = None
    writer: ResultWriter | None = None

    def compose(self) -> None:
        """Reads the settings, decides what to run, and connects the operators."""
        context = self._read_arguments()
        self.output = Path(context.output_path)
        begin(self.output, os.environ)
        model = context.args.get("model")
        settings = read_settings(Path(context.input_path), self.output, Path(model) if model else None, {}, os.environ)
        plan = make_plan(settings)
        log_plan(plan)
        self.writer = ResultWriter(plan, settings)
        loader = LoaderOperator(self, plan=plan, name="loader")
        preprocessing = PreprocessingOperator(self, name="preprocessing")
        inference = InferenceOperator(self, inference=Inference(settings.runtime, progress_bar()), name="inference")
        postprocessing = PostprocessingOperator(self, settings=settings, name="postprocessing")
        writer = SegmentationWriterOperator(self, writer=self.writer, name="segmentation_writer")
        self.add_flow(loader, preprocessing, {(ports.CASE, ports.CASE)})
        self.add_flow(preprocessing, inference, {(ports.PREPARED, ports.PREPARED)})
        self.add_flow(inference, postprocessing, {(ports.PREDICTED, ports.PREDICTED)})
        self.add_flow(postprocessing, writer, {(ports.RESULT, ports.RESULT)})

    @property
    def summary(self) -> RunSummary | None:
        """What came of the run so far; None until it is decided what to run."""
        return self.writer.summary if self.writer else None

    def _read_arguments(self) -> AppContext:
        """Reads arguments and environment as every MONAI Deploy application does.

        The SDK logs its own doings unless it is told not to, so it is, where no level was asked for.
        """
        argv = list(self.argv)
        is_asked = any(argument.startswith(("-l", "--log-level")) for argument in argv)
        try:
            context = Application.init_app_context(argv if is_asked else [*argv, "-l", "ERROR"])
        except OSError as error:
            raise OutputError(f"{error.filename}: cannot be written to: {error.strerror}") from error
        level = str(context.args["log_level"]) if is_asked else "INFO"
        set_up(_LEVELS.get(level, level))
        return context
