"""The public names of the package, exactly."""

import wsi


def test_the_public_door_is_exact() -> None:
    assert wsi.__all__ == [
        "DeepZoom",
        "InvalidRequestError",
        "Level",
        "MissingMppError",
        "MissingReaderError",
        "Mpp",
        "MppRecord",
        "Point",
        "Region",
        "RegionError",
        "Size",
        "Slide",
        "SlideError",
        "UnreadableSlideError",
        "UnsupportedSlideError",
        "fingerprint",
        "open_slide",
        "slide_extensions",
    ]
    assert all(hasattr(wsi, name) for name in wsi.__all__)
