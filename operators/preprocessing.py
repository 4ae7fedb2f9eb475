"""From a case to the channels of the network."""

from __future__ import annotations

from monai.deploy.core import ExecutionContext, InputContext, Operator, OperatorSpec, OutputContext

from clickseg.batch.steps import preprocess_case
from operators import ports


class PreprocessingOperator(Operator):
    """Resamples and scales the images, and draws the clicks."""

    def setup(self, spec: OperatorSpec) -> None:
        """Declares the ports."""
        spec.input(ports.CASE)
        spec.output(ports.PREPARED)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Prepares one case."""
        op_output.emit(preprocess_case(op_input.receive(ports.CASE)), ports.PREPARED)
