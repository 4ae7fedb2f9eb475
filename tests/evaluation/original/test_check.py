"""Models that MONAI cannot run are not compared with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from clickseg.core.errors import ModelError
from clickseg.core.progress import no_progress
from clickseg.evaluation.original.check import compare_with_original
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms


@pytest.mark.parametrize("change", [{"placement": "even"}, {"mode": "nnunet"}], ids=str)
def test_a_model_with_windows_of_nnunet_is_an_error(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    spec = ModelSpec.model_validate(phantoms.metadata(window={"roi": [8, 8, 8], **change}))
    plan = SimpleNamespace(package=SimpleNamespace(name="organs", spec=spec))
    monkeypatch.setattr("clickseg.evaluation.original.check.make_plan", lambda _: plan)

    with pytest.raises(ModelError, match=r"model organs: cannot be checked: MONAI has no window\."):
        next(compare_with_original(None, SimpleNamespace(), no_progress))  # type: ignore[arg-type]


@pytest.mark.parametrize(("alignment", "hint"), [("end_voxels", "models of TotalSegmentator"), ("edges", "--source")])
def test_the_hint_about_a_model_of_totalsegmentator_names_no_source(
    monkeypatch: pytest.MonkeyPatch, alignment: str, hint: str
) -> None:
    spec = ModelSpec.model_validate(phantoms.metadata(grid={"spacing_mm": [3, 3, 3], "alignment": alignment}))
    plan = SimpleNamespace(package=SimpleNamespace(name="organs", spec=spec))
    monkeypatch.setattr("clickseg.evaluation.original.check.make_plan", lambda _: plan)

    with pytest.raises(ModelError) as caught:
        next(compare_with_original(None, SimpleNamespace(), no_progress))  # type: ignore[arg-type]

    assert hint in (caught.value.hint or "")
