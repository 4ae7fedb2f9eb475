"""The operator for preprocessing."""

from __future__ import annotations

from monai.deploy.core import ExecutionContext, InputContext, Operator, OperatorSpec, OutputContext

from clickseg.batch.steps import preprocess_case
from operators import ports


class PreprocessingOperator(Operator):
    """Makes the input channels of the network: resampled and scaled images, and clicks."""

    def setup(self, spec: OperatorSpec) -> None:
        """Declares the ports."""
        spec.input(ports.CASE)
        spec.output(ports.PREPROCESSED)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Preprocesses one case."""
        op_output.emit(preprocess_case(op_input.receive(ports.CASE)), ports.PREPROCESSED)
