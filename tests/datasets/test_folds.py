"""Each case is held out once, together with all cases of its patient; the folds depend on names and the seed only."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickseg.core.errors import InputError, UsageError
from clickseg.datasets.case import CaseFiles
from clickseg.datasets.find import find_cases
from clickseg.datasets.folds import find_fold, make_folds, patient_name


def case(name: str, fold: int | None = None) -> CaseFiles:
    return CaseFiles(name, ("PT",), (Path(f"{name}.nii.gz"),), None, fold)


@given(st.integers(2, 7), st.integers(7, 30), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_each_case_is_held_out_once_together_with_its_patient(count: int, patients: int, seed: int, shuffle) -> None:
    cases = [case(f"P{number}_{image}") for number in range(patients) for image in ("PET", "CT", "MR_T1")]
    shuffle.shuffle(cases)

    folds = make_folds(cases, count, seed)

    assert sorted(item.name for fold in folds for item in fold.held_out) == sorted(item.name for item in cases)
    sizes = [len(fold.held_out) // 3 for fold in folds]
    assert len(folds) == count
    assert max(sizes) - min(sizes) <= 1
    for fold in folds:
        held_out, training = ({item.name.split("_")[0] for item in part} for part in (fold.held_out, fold.training))
        assert len(fold.held_out) == 3 * len(held_out)
        assert not held_out & training
        assert len(held_out | training) == patients


def test_the_order_of_cases_does_not_matter_and_the_seed_does() -> None:
    cases = [case(f"P{number}") for number in range(20)]

    def held_out(ordered: list[CaseFiles], seed: int) -> list[set[str]]:
        return [{item.name for item in fold.held_out} for fold in make_folds(ordered, 4, seed)]

    assert held_out(cases, 1) == held_out(cases[::-1], 1)
    assert held_out(cases, 1) != held_out(cases, 2)


def test_folds_are_the_same_as_in_earlier_versions() -> None:
    folds = make_folds([case(f"P{number}") for number in range(6)], 3, 0)

    in_order_of_sha256sum = ["P1", "P5", "P0", "P2", "P4", "P3"]  # printf '0 P1' | sha256sum
    expected = [sorted(in_order_of_sha256sum[first::3]) for first in range(3)]
    assert [[item.name for item in fold.held_out] for fold in folds] == expected


def test_folds_defined_by_the_dataset_are_used() -> None:
    cases = [case("a", 4), case("b", 0), case("c", 4), case("d", 2)]

    folds = make_folds(cases, 5, 0)

    assert [[item.name for item in fold.held_out] for fold in folds] == [["b"], ["d"], ["a", "c"]]
    assert [item.name for item in folds[2].training] == ["b", "d"]
    assert [fold.number for fold in folds] == [0, 2, 4]
    assert find_fold(folds, 4) is folds[2]
    with pytest.raises(UsageError, match="fold: expected one of 0, 2, 4, got 1"):
        find_fold(folds, 1)


@pytest.mark.parametrize(
    ("cases", "count", "message"),
    [
        ([case("a"), case("b", 1)], 2, "expected a fold for every case or for no case, got a fold for 1 of 2 cases"),
        ([case("a_PET"), case("a_CT")], 2, "expected at least 2 patients for 2 folds, got 1"),
        ([case("a"), case("b")], 1, "expected at least 2 folds, got 1"),
        ([case("a"), case("b")], 0, "expected at least 2 folds, got 0"),
        ([case("a"), case("b")], -2, "expected at least 2 folds, got -2"),
        ([case("a", 3), case("b", 3)], 5, "expected at least 2 folds, got 1"),
        ([], 5, "expected at least 5 patients for 5 folds, got 0"),
    ],
)
def test_cases_that_cannot_be_split_are_rejected(cases: list[CaseFiles], count: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_folds(cases, count, 0)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("STS_001", "STS_001"),
        ("STS_001_PET", "STS_001"),
        ("STS_001_PET_CT", "STS_001"),
        ("STS_001_MR_T1", "STS_001"),
        ("patient3_study2_series1_PT_CT", "patient3"),
        ("sub-04_ses-02", "sub-04"),
        ("psma_95b833d65be26d2f_2018-04-16", "psma_95b833d65be26d2f"),
        ("fdg_0af7ffe12a_08-12-2005-NA-PET-CT Ganzkoerper primaer mit KM-96698", "fdg_0af7ffe12a"),
        ("lung_001", "lung_001"),
        ("PET", "PET"),
        ("CT_2", "CT_2"),
        ("carpet", "carpet"),
    ],
)
def test_the_patient_is_the_name_before_modality_examination_and_date(name: str, patient: str) -> None:
    assert patient_name(name) == patient


def test_the_modalities_of_a_patient_of_soft_tissue_sarcoma_are_held_out_together(sarcoma: Path) -> None:
    cases = [item for modality in ("PT", "CT", "MR") for item in find_cases(sarcoma, (modality,))]

    folds = make_folds(cases, 5, 7)

    for fold in folds:
        assert len(fold.held_out) == 3 * len({item.images[0].parent for item in fold.held_out})
