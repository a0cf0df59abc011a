"""When and with which versions an archive was made."""

import os
from datetime import UTC, datetime
from importlib import metadata


def creation_time() -> str:
    """Now in UTC, to the second; SOURCE_DATE_EPOCH, where set, makes archives reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of what has a say in pixels."""
    names = ("microtome", "openslide-bin", "tifffile", "imagecodecs", "simplejpeg", "numpy")
    return {name: metadata.version(name) for name in names}
