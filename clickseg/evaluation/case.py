"""Evaluating a model in one case."""

from __future__ import annotations

import time
from collections.abc import Callable

from clickseg.datasets.case import LabelledCase
from clickseg.engines.engine import Engine
from clickseg.evaluation.in_memory import series_of
from clickseg.evaluation.methods import Method, Model
from clickseg.evaluation.protocols.protocol import Protocol
from clickseg.evaluation.scores import MODEL, CaseScores
from clickseg.evaluation.trial import trial_of
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.memory import Memory
from clickseg.models.package import ModelPackage
from clickseg.progress import Progress, no_progress
from clickseg.session.session import Session, SessionOptions

Look = Callable[[Method], None]
"""Shown a method when its last step is done."""


def nowhere(_: Method) -> None:
    """Looks at nothing."""


def evaluate_case(
    case: LabelledCase,
    package: ModelPackage,
    engine: Engine,
    protocol: Protocol,
    *,
    postprocessing: bool = True,
    memory: Memory | None = None,
    kernels: KernelChoice | None = None,
    progress: Progress = no_progress,
    look: Look = nowhere,
) -> CaseScores:
    """Returns how well a model does in a case, through the session that users have.

    Args:
        case: The case.
        package: The model.
        engine: Its network, loaded.
        protocol: How many clicks are made, and where.
        postprocessing: Whether the package's postprocessing is applied.
        memory: What the session may take; by default what the machine has.
        kernels: The loops over voxels.
        progress: Told after each step, of the result without clicks too.
        look: Shown what was found when the last step is done.

    Raises:
        InputError: The truth does not fit the model or the image, or the protocol is not for such images.
        ModelError: The images are not what the model takes.
        EngineError: The network fails.
    """
    trial = trial_of(case, package.spec, protocol)
    opened = time.perf_counter()
    options = SessionOptions(memory=memory, kernels=kernels, postprocessing=postprocessing)
    with Session(series_of(case), package, engine=engine, options=options) as session:
        method = Model(session, case, package.spec, opened)
        curves = trial.play(method, MODEL, progress)
        look(method)
    return CaseScores(case.name, curves)
