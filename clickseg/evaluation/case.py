"""Evaluating a model in one case."""

from __future__ import annotations

import time

from clickseg.datasets.case import LabelledCase
from clickseg.engines.engine import Engine
from clickseg.evaluation.in_memory import series_of
from clickseg.evaluation.methods import Model
from clickseg.evaluation.protocols.protocol import Protocol
from clickseg.evaluation.scores import MODEL, CaseScores
from clickseg.evaluation.trial import trial_of
from clickseg.models.package import ModelPackage
from clickseg.progress import Progress, no_progress
from clickseg.session.session import Session, SessionOptions


def evaluate_case(
    case: LabelledCase,
    package: ModelPackage,
    engine: Engine,
    protocol: Protocol,
    options: SessionOptions | None = None,
    progress: Progress = no_progress,
) -> CaseScores:
    """Returns how well a model does in a case, through the session that users have.

    Args:
        case: The case.
        package: The model.
        engine: Its network, loaded.
        protocol: How many clicks are made, and where.
        options: How the session is run.
        progress: Told after each step, of the result without clicks too.

    Raises:
        InputError: The truth does not fit the model or the image, or the protocol is not for such images.
        ModelError: The images are not what the model takes.
        EngineError: The network fails.
    """
    options = options or SessionOptions()
    trial = trial_of(case, package.spec, protocol)
    opened = time.perf_counter()
    with Session(series_of(case), package, engine=engine, options=options) as session:
        curves = trial.play(Model(session, case, package.spec, opened), MODEL, progress)
        return CaseScores(case.name, curves, session.labels)
