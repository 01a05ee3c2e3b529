"""The colour profile of the sample photograph: what a phone writes."""

from __future__ import annotations

from image_pipeline.icc import parametric, write_profile

# D65 to D50 by the Bradford method, as the format asks of a display whose white is not D50.
_BRADFORD = (1.04790, 0.02292, -0.05020, 0.02960, 0.99046, -0.01707, -0.00925, 0.01508, 0.75168)


def display_p3() -> bytes:
    """The Display P3 profile: DCI-P3's primaries with sRGB's curve."""
    colorants = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
    curve = parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return write_profile("Display P3", colorants, (curve,) * 3, _BRADFORD)
