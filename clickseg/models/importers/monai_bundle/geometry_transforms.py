"""Reads the arguments of MONAI's transforms that turn, resample and crop images."""

from __future__ import annotations

from clickseg.models.importers.monai_bundle.components import Component, is_number

_SPACING_ARGUMENTS = (
    *("keys", "pixdim", "diagonal", "mode", "padding_mode", "align_corners", "dtype", "scale_extent"),
    *("recompute_affine", "min_pixdim", "max_pixdim", "ensure_same_shape", "allow_missing_keys", "lazy"),
)
_CROP_ARGUMENTS = (
    *("keys", "source_key", "select_fn", "channel_indices", "margin", "allow_smaller", "k_divisible", "mode"),
    *("start_coord_key", "end_coord_key", "allow_missing_keys", "lazy"),
)


def read_axes(transform: Component) -> str:
    """Returns the axes of ``Orientationd``, such as ``RAS``.

    Raises:
        ModelError: An argument cannot be expressed.
    """
    transform.check_arguments(("keys", "axcodes", "as_closest_canonical", "labels", "allow_missing_keys", "lazy"))
    transform.expect("labels", None)
    is_canonical = transform.flag("as_closest_canonical", default=False)
    axes = "RAS" if is_canonical else transform.value("axcodes", None)
    if not isinstance(axes, str) or len(axes) != 3 or not set(axes) <= set("RLAPSI"):
        raise transform.error(f"axcodes: expected three letters such as RAS, got {axes!r:.80}")
    return axes


def read_spacing(transform: Component) -> tuple[tuple[float | str, ...], tuple[float, float] | None]:
    """Returns the spacing of ``Spacingd``, and the factors of it within which an axis keeps its own.

    ``align_corners`` does not matter: voxels are found by their position in mm.

    Raises:
        ModelError: An argument cannot be expressed.
    """
    transform.check_arguments(_SPACING_ARGUMENTS)
    transform.expect("mode", "bilinear")
    transform.expect("padding_mode", "border")
    for name in ("diagonal", "scale_extent", "recompute_affine"):
        transform.expect(name, False)
    value = transform.value("pixdim", None)
    values = [value] if is_number(value) else value
    if not isinstance(values, list) or not 1 <= len(values) <= 3 or not all(is_number(item) for item in values):
        raise transform.error(f"pixdim: expected one to three numbers, got {value!r:.80}")
    spacing = [*values, *[values[-1]] * (3 - len(values))]  # as MONAI fills missing axes
    return tuple(item if item > 0 else "source" for item in spacing), _tolerance(transform, spacing)


def read_margin(transform: Component) -> int:
    """Returns the margin of ``CropForegroundd`` around the voxels above 0.

    Raises:
        ModelError: An argument cannot be expressed.
    """
    transform.check_arguments(_CROP_ARGUMENTS)
    if "select_fn" in transform.arguments:
        raise transform.error("select_fn: only the default is supported, which selects voxels above 0")
    transform.expect("channel_indices", None, 0)
    transform.expect("k_divisible", 1)
    margins = transform.three_numbers("margin", 0)
    if len(set(margins)) > 1 or margins[0] != int(margins[0]) or margins[0] < 0:
        raise transform.error(f"margin: expected one number of voxels for all axes, got {list(margins)}")
    if margins[0] and not transform.flag("allow_smaller", default=False):
        raise transform.error(
            "a margin that extends beyond the image is not supported: expected allow_smaller true",
            hint=f"it is the default of MONAI before version 1.5: --set {transform.key}#allow_smaller=true",
        )
    return int(margins[0])


def _tolerance(transform: Component, spacing: list[float]) -> tuple[float, float] | None:
    """Returns the smallest and the largest spacing that is kept, as factors of ``pixdim``."""
    names = ("min_pixdim", "max_pixdim")
    if all(transform.value(name, None) is None for name in names):
        return None
    factors: list[float] = []
    for name in names:
        limits = spacing if transform.value(name, None) is None else transform.three_numbers(name)
        ratios = {round(limit / size, 6) for limit, size in zip(limits, spacing, strict=True) if size > 0}
        if len(ratios) != 1:
            raise transform.error(f"{name}: expected the same fraction of pixdim for all axes")
        factors.append(ratios.pop())
    return min(factors[0], 1.0), max(factors[1], 1.0)
