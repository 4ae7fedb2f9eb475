"""The operator that writes DICOM SEG, SR, preview and report."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from clickseg.batch.writer import ResultWriter
from operators import ports


class SegmentationWriterOperator(Operator):
    """Writes each result; all results are published after the last one."""

    def __init__(self, fragment: Fragment, *args: Any, writer: ResultWriter, **kwargs: Any) -> None:
        self._writer = writer
        super().__init__(fragment, *args, **kwargs)  # last: Holoscan calls setup() from here

    def setup(self, spec: OperatorSpec) -> None:
        """Declares the ports."""
        spec.input(ports.RESULT)

    def start(self) -> None:
        """Creates the folder that contains results before they are published."""
        self._writer.__enter__()

    def stop(self) -> None:
        """Removes results that were not published."""
        self._writer.__exit__(None, None, None)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Writes the result of one case."""
        self._writer.write(op_input.receive(ports.RESULT))
