"""Each operator receives, makes one call into clickseg, and emits what it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from holoscan.core import Fragment

from clickseg.batch.plan import Plan, make_plan
from clickseg.batch.settings import RunSettings, read_settings
from clickseg.batch.steps import Inference, Outcome, load_cases
from clickseg.batch.writer import ResultWriter
from clickseg.core.errors import ClickSegError, InputError
from clickseg.core.progress import no_progress
from clickseg.inference.case import Case, Predicted, Prepared, Result
from operators import ports
from operators.inference import InferenceOperator
from operators.loader import LoaderOperator
from operators.postprocessing import PostprocessingOperator
from operators.preprocessing import PreprocessingOperator
from operators.segmentation_writer import SegmentationWriterOperator
from tests.helpers import runs


class Port:
    """Stands for both ends of an operator."""

    def __init__(self, value: object = None) -> None:
        self.value = value
        self.names: list[str] = []

    def receive(self, name: str) -> Any:
        self.names.append(name)
        return self.value

    def emit(self, value: object, name: str) -> None:
        self.value = value
        self.names.append(name)


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    models = runs.write_model(tmp_path / "models", postprocessing={"keep": "largest"})
    runs.write_input(tmp_path / "in", runs.click(9, 11, 13))
    return read_settings(tmp_path / "in", tmp_path / "out", models, {"precision": "f32"}, {})


@pytest.fixture
def plan(settings: RunSettings) -> Plan:
    return make_plan(settings)


def computed(operator: Any, value: object, name: str) -> Any:
    """What an operator makes of what it receives."""
    received, emitted = Port(value), Port()
    operator.compute(received, emitted, None)
    assert received.names == [name]
    return emitted.value


def test_a_case_goes_from_operator_to_operator(settings: RunSettings, plan: Plan) -> None:
    fragment = Fragment()
    loaded = Port()
    LoaderOperator(fragment, plan=plan, name="loader").compute(Port(), loaded, None)
    preprocessing = PreprocessingOperator(fragment, name="preprocessing")
    inference = InferenceOperator(fragment, inference=Inference(settings.runtime, no_progress), name="inference")
    postprocessing = PostprocessingOperator(fragment, settings=settings, name="postprocessing")

    prepared = computed(preprocessing, loaded.value, ports.CASE)
    predicted = computed(inference, prepared, ports.PREPARED)
    result = computed(postprocessing, predicted, ports.PREDICTED)

    kinds = [type(each.value) for each in (loaded.value, prepared, predicted, result)]
    assert kinds == [Case, Prepared, Predicted, Result]
    assert list(result.seconds) == ["reading", "preprocessing", "inference", "postprocessing"]


def test_an_error_goes_through_all_of_them_untouched(settings: RunSettings, plan: Plan) -> None:
    fragment, error = Fragment(), InputError("in reading")
    value: Any = Outcome(plan.tasks[0].candidate, error, {})

    for operator, name in (
        (PreprocessingOperator(fragment, name="a"), ports.CASE),
        (InferenceOperator(fragment, inference=Inference(settings.runtime, no_progress), name="b"), ports.PREPARED),
        (PostprocessingOperator(fragment, settings=settings, name="c"), ports.PREDICTED),
    ):
        value = computed(operator, value, name)

    assert value.value is error


def test_the_writer_opens_and_closes_what_it_writes_to(settings: RunSettings, plan: Plan) -> None:
    writer = ResultWriter(plan, settings)
    operator = SegmentationWriterOperator(Fragment(), writer=writer, name="writer")
    (case,) = load_cases(plan)

    operator.start()
    operator.compute(Port(Outcome(case.candidate, ClickSegError("no"), {})), Port(), None)
    operator.stop()

    assert [str(error) for error in writer.summary.errors] == ["no"]
    assert not settings.output.exists()
