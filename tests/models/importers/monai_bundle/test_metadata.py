"""The names of classes are those of the channels; names that contradict the channels are errors, others are noted."""

from __future__ import annotations

import pytest

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.metadata import read_classes
from clickseg.models.importers.source_model import Outcome
from tests.helpers import foreign_bundles as fb


def classes(names: dict[str, str], channels: int, activation: str) -> tuple[dict[int, str], list[str]]:
    """Returns the names of the classes by channel, and the assumptions."""
    metadata = fb.make_metadata()
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = names
    sections, notes = read_classes(metadata, None, channels, activation)
    return {each["channel"]: each["name"] for each in sections}, [
        note.text for note in notes if note.outcome is Outcome.ASSUMED
    ]


def test_background_is_no_class_and_no_assumption() -> None:
    names = {"0": "Background", "1": "liver", "2": "spleen"}

    assert classes(names, 3, "softmax") == ({1: "liver", 2: "spleen"}, [])
    assert classes(names, 3, "sigmoid") == ({1: "liver", 2: "spleen"}, [])
    assert classes({"0": "liver", "1": "spleen"}, 2, "sigmoid") == ({0: "liver", 1: "spleen"}, [])


def test_the_only_channel_has_the_name_of_the_object_and_not_of_the_background() -> None:
    names, assumed = classes({"0": "background", "1": "lesion"}, 1, "sigmoid")

    assert names == {0: "lesion"}
    assert assumed == ["the network has no class for the names background"]


def test_names_that_no_class_has_are_named_by_an_assumption() -> None:
    names, assumed = classes({"0": "liver", "1": "spleen"}, 2, "softmax")
    assert (names, assumed) == ({1: "spleen"}, ["the network has no class for the names liver"])

    names, assumed = classes({"0": "background", "1": "liver", "7": "bone"}, 3, "softmax")
    assert names == {1: "liver", 2: "class 2"}
    assert assumed == [
        "the network has no class for the names bone",
        "the bundle does not name the channels 2: numbered",
    ]


@pytest.mark.parametrize(
    ("names", "channels", "activation", "message"),
    [
        ({"0": "background"}, 1, "sigmoid", "the only channel is a class, not the background; got .*0: background"),
        ({"0": "background", "1": "a", "2": "b"}, 1, "sigmoid", "#pred#channel_def: the only channel is a class"),
        ({"0": "liver", "1": "spleen"}, 3, "softmax", "of 3 channels, channel 0 is background; got .*0: liver"),
    ],
)
def test_names_that_contradict_the_channels_are_errors(
    names: dict[str, str], channels: int, activation: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        classes(names, channels, activation)

    assert "--set" in str(caught.value.hint)
