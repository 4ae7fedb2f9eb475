"""The operator that reads series and clicks."""

from __future__ import annotations

from typing import Any

from monai.deploy.conditions import BooleanCondition
from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from clickseg.batch.plan import RunPlan
from clickseg.batch.steps import load_cases
from operators import ports


class LoaderOperator(Operator):
    """Emits the cases of a plan, one at each tick, then stops."""

    def __init__(self, fragment: Fragment, *args: Any, plan: RunPlan, **kwargs: Any) -> None:
        self._cases = load_cases(plan)
        self._remaining = len(plan)
        self._has_more = BooleanCondition(fragment, name="has_more")
        super().__init__(fragment, *args, self._has_more, **kwargs)  # last: Holoscan calls setup() from here

    def setup(self, spec: OperatorSpec) -> None:
        """Declares the ports."""
        spec.output(ports.CASE)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Emits the next case."""
        op_output.emit(next(self._cases), ports.CASE)
        self._remaining -= 1
        if not self._remaining:
            self._has_more.disable_tick()
