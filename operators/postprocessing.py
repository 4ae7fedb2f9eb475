"""The operator for postprocessing."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import postprocess_case
from operators import ports


class PostprocessingOperator(Operator):
    """Applies the postprocessing that the model package defines, such as the removal of small components."""

    def __init__(self, fragment: Fragment, *args: Any, settings: RunSettings, **kwargs: Any) -> None:
        self._settings = settings
        super().__init__(fragment, *args, **kwargs)  # last: Holoscan calls setup() from here

    def setup(self, spec: OperatorSpec) -> None:
        """Declares the ports."""
        spec.input(ports.PREDICTED)
        spec.output(ports.RESULT)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Postprocesses and measures one case."""
        op_output.emit(postprocess_case(op_input.receive(ports.PREDICTED), self._settings), ports.RESULT)
