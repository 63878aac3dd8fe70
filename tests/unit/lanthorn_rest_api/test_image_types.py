"""`Accept` of the picture routes; what Orthanc 1.13.0 chose, but for case and bad qualities."""

from __future__ import annotations

import pytest

from lanthorn_core.errors import InvalidParameter
from lanthorn_core.ports.renderer import ImageFormat
from lanthorn_rest_api.image_types import accepted_format


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "png"),
        ("*/*", "png"),
        ("image/*", "png"),
        ("image/png", "png"),
        ("image/jpeg", "jpeg"),
        ("IMAGE/JPEG", "jpeg"),
        ("image/x-portable-arbitrarymap", "pam"),
        ("text/html,image/jpeg", "jpeg"),
        ("image/jpeg;q=0.5, image/png;q=0.2", "jpeg"),
        ("image/jpeg;q=0.2, image/png;q=0.5", "png"),
        ("image/webp,image/*;q=0.8,*/*;q=0.5", "png"),
        ("image/jpeg;q=0,image/png", "png"),
        ("image/png;q=0, */*", "jpeg"),
        ("image/png, image/jpeg", "png"),
        ("image/jpeg, image/png", "jpeg"),
        ("image/x-portable-arbitrarymap, image/jpeg", "pam"),
        (" , image/jpeg ; Q=0.3 , ", "jpeg"),
        ("text/html", None),
        ("image/jpg", None),
        ("garbage", None),
        ("*/png", None),
        ("image/png;q=0", None),
    ],
)
def test_the_format_is_the_one_that_the_client_prefers(accept: str, chosen: str | None) -> None:
    assert accepted_format(accept, ("png", "jpeg", "pam")) == chosen


def test_a_format_that_cannot_be_made_is_not_chosen() -> None:
    offered: tuple[ImageFormat, ...] = ("png", "pam")
    assert accepted_format("image/jpeg", offered) is None
    assert accepted_format("image/jpeg, */*;q=0.1", offered) == "png"


@pytest.mark.parametrize("quality", ["x", "", "2", "-1", "nan"])
def test_a_quality_that_is_none_is_refused(quality: str) -> None:
    with pytest.raises(InvalidParameter):
        accepted_format(f"image/jpeg;q={quality}", ("png", "jpeg"))
