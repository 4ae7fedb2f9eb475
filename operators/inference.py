"""The operator for sliding-window inference."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from clickseg.batch.steps import InferenceStep
from operators import ports


class InferenceOperator(Operator):
    """Runs the network window by window, and assigns a label to each voxel."""

    def __init__(self, fragment: Fragment, *args: Any, inference: InferenceStep, **kwargs: Any) -> None:
        self._inference = inference
        super().__init__(fragment, *args, **kwargs)  # last: Holoscan calls setup() from here

    def setup(self, spec: OperatorSpec) -> None:
        """Declares the ports."""
        spec.input(ports.PREPROCESSED)
        spec.output(ports.PREDICTED)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Predicts the label map of one case."""
        op_output.emit(self._inference(op_input.receive(ports.PREPROCESSED)), ports.PREDICTED)
