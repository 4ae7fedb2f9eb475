"""Each operator receives a case, calls one function of clickseg, and emits the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from holoscan.core import Fragment

from clickseg.batch.plan import RunPlan, make_plan
from clickseg.batch.settings import RunSettings, read_settings
from clickseg.batch.steps import InferenceStep, Outcome, load_cases
from clickseg.batch.writer import ResultWriter
from clickseg.core.errors import ClickSegError, InputError
from clickseg.core.progress import no_progress
from clickseg.inference.case import Case, CaseResult, PredictedCase, PreprocessedCase
from operators import ports
from operators.inference import InferenceOperator
from operators.loader import LoaderOperator
from operators.postprocessing import PostprocessingOperator
from operators.preprocessing import PreprocessingOperator
from operators.segmentation_writer import SegmentationWriterOperator
from tests.helpers import runs


class Port:
    """A replacement for the input and the output of an operator."""

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
def plan(settings: RunSettings) -> RunPlan:
    return make_plan(settings)


def compute(operator: Any, value: object, name: str) -> Any:
    """Returns the value that an operator emits after it received a value at a port."""
    input_port, output_port = Port(value), Port()
    operator.compute(input_port, output_port, None)
    assert input_port.names == [name]
    return output_port.value


def test_a_case_passes_through_all_operators(settings: RunSettings, plan: RunPlan) -> None:
    fragment = Fragment()
    loader_output = Port()
    LoaderOperator(fragment, plan=plan, name="loader").compute(Port(), loader_output, None)
    preprocessing = PreprocessingOperator(fragment, name="preprocessing")
    inference = InferenceOperator(fragment, inference=InferenceStep(settings.runtime, no_progress), name="inference")
    postprocessing = PostprocessingOperator(fragment, settings=settings, name="postprocessing")

    preprocessed = compute(preprocessing, loader_output.value, ports.CASE)
    predicted = compute(inference, preprocessed, ports.PREPROCESSED)
    result = compute(postprocessing, predicted, ports.PREDICTED)

    kinds = [type(outcome.value) for outcome in (loader_output.value, preprocessed, predicted, result)]
    assert kinds == [Case, PreprocessedCase, PredictedCase, CaseResult]
    assert list(result.seconds) == ["reading", "preprocessing", "inference", "postprocessing"]


def test_an_error_passes_through_all_operators_unchanged(settings: RunSettings, plan: RunPlan) -> None:
    fragment, error = Fragment(), InputError("in reading")
    value: Any = Outcome(plan.cases[0].series_files, error, {})

    for operator, name in (
        (PreprocessingOperator(fragment, name="a"), ports.CASE),
        (
            InferenceOperator(fragment, inference=InferenceStep(settings.runtime, no_progress), name="b"),
            ports.PREPROCESSED,
        ),
        (PostprocessingOperator(fragment, settings=settings, name="c"), ports.PREDICTED),
    ):
        value = compute(operator, value, name)

    assert value.value is error


def test_the_writer_opens_and_closes_its_folder(settings: RunSettings, plan: RunPlan) -> None:
    writer = ResultWriter(plan, settings)
    operator = SegmentationWriterOperator(Fragment(), writer=writer, name="writer")
    (case,) = load_cases(plan)

    operator.start()
    operator.compute(Port(Outcome(case.series_files, ClickSegError("no"), {})), Port(), None)
    operator.stop()

    assert [str(error) for error in writer.summary.errors] == ["no"]
    assert not settings.output.exists()
