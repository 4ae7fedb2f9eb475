"""MONAI's transforms that have no field in the description, each with the reason."""

from __future__ import annotations

_ALWAYS = {
    "DeleteItemsd": "ClickSeg keeps no other items",
    "Identityd": "it changes nothing",
    "SelectItemsd": "ClickSeg keeps no other items",
    "ToDeviced": "the device is selected with --device",
}
_IMAGE_TYPE = "images are float32"
_RESULT_TYPE = "the label map has the smallest suitable type"

NEUTRAL_FOR_IMAGES = {
    **_ALWAYS,
    "AddChanneld": "ClickSeg adds the channel",
    "CastToTyped": _IMAGE_TYPE,
    "EnsureChannelFirstd": "ClickSeg adds the channel",
    "EnsureTyped": _IMAGE_TYPE,
    "LoadImaged": "ClickSeg reads DICOM",
    "ToTensord": _IMAGE_TYPE,
}
"""Those of the preprocessing."""

NEUTRAL_FOR_RESULTS = {
    **_ALWAYS,
    "CastToTyped": _RESULT_TYPE,
    "EnsureTyped": _RESULT_TYPE,
    "SaveImaged": "ClickSeg writes DICOM",
    "ToTensord": _RESULT_TYPE,
}
"""Those of the postprocessing."""
