"""The patterns of contrasts and phases tell the series descriptions of many scanners apart."""

from __future__ import annotations

import pytest

from clickseg.batch.description_patterns import match_specificity
from clickseg.models.importers.roles import role_descriptions
from clickseg.models.spec import InputSpec

CONTRASTS: dict[str, tuple[str, ...]] = {
    "T1c": (
        "T1c",
        "t1ce",
        "T1Gd",
        "AX T1 POST",
        "Ax T1 +C",
        "Ax T1 C+",
        "t1_mprage_sag_p2_iso_ce",
        "T1 MPRAGE POST GAD",
        "SAG 3D BRAVO +C",
        "3D T1 post contrast",
        "T1 FLAIR POST",
        "t1_tse_tra_KM",
        "t1_mpr_tra_iso_mKM",
        "POST T1 AX",
        "T1-weighted contrast enhanced",
        "BraTS-GLI-00001-000-t1c",
        "AX T1 SE GD",
        "T1W_3D_TFE GADO",
        "+C AX T1 FSE",
        "WB 3D MPRAGE AX POST",
        "Ax T1 FSPGR+C",
        "T1 with contrast",
        "t1_fl3d_tra_post_gd",
        "AX T1 POSTCONTRAST",
        "T1post",
        "T1 POST posterior fossa",
        "CE_T1W_TSE",
    ),
    "T1": (
        "T1",
        "AX T1",
        "t1_mprage_sag_p2_iso",
        "Ax T1 FLAIR",
        "t1_space_sag",
        "T1COR",
        "T1 pre contrast",
        "T1 without contrast",
        "T1W_SE",
        "Sag T1 FLAIR",
        "SAG 3D BRAVO",
        "AX T1 PRE",
        "T1 nativ",
        "t1_tse_dark-fluid_tra",
        "T1 pre gad",
        "BraTS-GLI-00001-000-t1n",
        "AX T1 W/O",
        "T1 MPRAGE unenhanced",
        "PRE AX T1 FSE",
        "T1 non-contrast",
        "MPRAGE",
        "T1 TSE ohne KM",
        "T1 non contrast enhanced",
        "SAG T1 POSTERIOR FOSSA",
    ),
    "T2": (
        "T2",
        "AX T2",
        "t2_tse_tra",
        "Ax T2 FSE FS",
        "T2 BLADE",
        "BraTS-GLI-00001-000-t2w",
        "T2W_TSE",
        "AX T2 PROPELLER",
        "t2_space_sag_p2_iso",
        "AX T2 POST",
    ),
    "FLAIR": (
        "FLAIR",
        "AX FLAIR",
        "Ax T2 FLAIR",
        "t2_tirm_tra_dark-fluid_320",
        "t2_space_dark-fluid_sag_p2_iso",
        "3D FLAIR",
        "FLAIR POST GD",
        "BraTS-GLI-00001-000-t2f",
        "T2W_FLAIR",
        "AX T2 FLAIR +C",
        "Sag CUBE FLAIR",
        "t2_flair_cor",
        "FLAIR_longTR",
    ),
    "": (
        "DWI b1000",
        "ADC",
        "AX SWI",
        "AX T2*",
        "AX T2 STAR GRE",
        "3-plane localizer",
        "Perfusion",
    ),
}
PHASES: dict[str, tuple[str, ...]] = {
    "artery": (
        "Arterial 1.0",
        "ABD ART",
        "art. Phase 1.5 B30f",
        "Late arterial",
        "AP 1.25mm",
        "corticomedullary",
        "Abdomen arteriell",
    ),
    "vein": (
        "Portal venous",
        "PV 2.0",
        "VENOUS PHASE",
        "ven 1.5",
        "portalvenös 1.0",
        "nephrographic",
        "NP 1.0",
        "Parenchymphase 1.0",
    ),
    "excret": (
        "Delayed",
        "Excretory phase",
        "EP 1.0",
        "delay 5 min",
        "Urographic",
        "late 10 min",
        "5 min delay",
    ),
    "": (
        "Native",
        "Topogram",
        "Topogram AP",
        "Scout lateral",
        "Bilateral 2.0",
        "Lung 1.0",
        "Lung parenchyma",
    ),
}


def described_input(names: tuple[str, ...], description: str) -> str:
    """The name of the input with the most specific match; empty without one, both names if two are equal."""
    lengths = {name: match_specificity(role_descriptions(name), description) for name in names}
    best = max((length for length in lengths.values() if length is not None), default=None)
    return " and ".join(name for name, length in lengths.items() if length is not None and length == best)


@pytest.mark.parametrize(
    ("contrast", "description"), [(name, text) for name, texts in CONTRASTS.items() for text in texts]
)
def test_the_contrast_of_a_series_is_told_by_its_description(contrast: str, description: str) -> None:
    assert described_input(("T1c", "T1", "T2", "FLAIR"), description) == contrast


@pytest.mark.parametrize(("phase", "description"), [(name, text) for name, texts in PHASES.items() for text in texts])
def test_the_phase_of_a_series_is_told_by_its_description(phase: str, description: str) -> None:
    assert described_input(("artery", "vein", "excret"), description) == phase


@pytest.mark.parametrize(
    ("description", "expected"),
    [("ep2d_diff_ADC", "ADC"), ("Apparent Diffusion Coefficient", "ADC"), ("eADC", ""), ("Exponential ADC", "")],
)
def test_exponential_diffusion_coefficients_are_not_those_of_an_input(description: str, expected: str) -> None:
    assert described_input(("T2", "ADC"), description) == expected


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("T1ce", "T1c"),
        ("t1-gd", "T1c"),
        ("T1 post", "T1c"),
        ("T1N", "T1"),
        ("T2F", "FLAIR"),
        ("T2w", "T2"),
        ("arterial phase", "artery"),
        ("Portal Venous", "vein"),
        ("delayed", "excret"),
    ],
)
def test_names_of_one_role_have_the_same_patterns(name: str, role: str) -> None:
    assert role_descriptions(name) == role_descriptions(role) != []


def test_other_names_are_matched_as_words_and_names_without_a_meaning_not_at_all() -> None:
    assert role_descriptions("perfusion_CBV") == ["*perfusion cbv*"]
    assert [role_descriptions(name) for name in ("image", "image2", "channel 1", "MR", "")] == [[]] * 5


@pytest.mark.parametrize("name", ["T1c", "T1", "T2", "FLAIR", "ADC", "artery", "vein", "excret", "native"])
def test_the_patterns_are_accepted_by_a_model_package(name: str) -> None:
    content = {"name": name, "modality": "MR", "unit": "", "scaling": {"kind": "zscore"}}

    InputSpec.model_validate(content | {"descriptions": role_descriptions(name)})
