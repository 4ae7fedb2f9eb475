"""A session on a checkpoint of another tool gives the bytes of a full run with the same clicks."""

from __future__ import annotations

from pathlib import Path

import pytest

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.inference.translation_cache import translate
from clickseg.models.importers.source_model import ImportOptions
from clickseg.session.session import Session
from tests.helpers import phantoms
from tests.helpers.fitted_files import fitted_sw_fastedit, write_sw_fastedit
from tests.helpers.full_run import segment_series
from tests.helpers.sessions import position_in
from tests.helpers.smooth_series import write_smooth_series

STEPS = [
    (Polarity.FOREGROUND, (0.5, 0.5, 0.5)),
    (Polarity.BACKGROUND, (0.3, 0.7, 0.6)),
    (Polarity.FOREGROUND, (0.8, 0.4, 0.3)),
]


@pytest.mark.slow
def test_each_click_on_sw_fastedit_has_the_bytes_of_a_full_run(tmp_path: Path) -> None:
    series = phantoms.read(write_smooth_series(tmp_path / "PT", "PT", (30, 44, 48)))
    checkpoint = write_sw_fastedit(tmp_path / "pet.pt", fitted_sw_fastedit(steps=3))
    options = ImportOptions(preset="sw_fastedit", changes={"window.roi": [64, 64, 32]})
    package = translate(checkpoint, options, tmp_path / "cache")
    engine = make_engine(package, RuntimeSettings(Runtime.AUTO, "cpu", Precision.F32))

    with Session(series, package, engine=engine) as session:
        for polarity, fractions in STEPS:
            before = session.label_map.array.copy()
            session.add_click(Click("tumor", polarity, position_in(series, *fractions)))

            full = segment_series([series], Clicks(session.clicks), package, engine)
            assert session.label_map.array.tobytes() == full.labels.array.tobytes()
            assert (session.label_map.array != before).any()
        session.undo()
        assert session.label_map.array.tobytes() == before.tobytes()
