"""Reading series and clicks."""

from __future__ import annotations

from typing import Any

from monai.deploy.conditions import BooleanCondition
from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from clickseg.batch.plan import Plan
from clickseg.batch.steps import load_cases
from operators import ports


class LoaderOperator(Operator):
    """Emits the cases of a plan, one at each tick, until there are no more."""

    def __init__(self, fragment: Fragment, *args: Any, plan: Plan, **kwargs: Any) -> None:
        self._cases = load_cases(plan)
        self._left = len(plan)
        self._more = BooleanCondition(fragment, name="more")
        super().__init__(fragment, *args, self._more, **kwargs)  # last: Holoscan calls setup() from here

    def setup(self, spec: OperatorSpec) -> None:
        """Declares the ports."""
        spec.output(ports.CASE)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Emits the next case."""
        op_output.emit(next(self._cases), ports.CASE)
        self._left -= 1
        if not self._left:
            self._more.disable_tick()
