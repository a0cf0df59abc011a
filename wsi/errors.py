"""What can go wrong with a slide; each class is also the builtin error that it stands for."""


class SlideError(Exception):
    """Base of every error that this package raises on purpose; all of them pickle."""


class UnreadableSlideError(SlideError, OSError):
    """The slide cannot be opened: missing, no permission, empty or damaged. The file's fault."""


class UnsupportedSlideError(SlideError, ValueError):
    """No reader knows the format, or no reader has the asked name."""


class MissingMppError(SlideError, ValueError):
    """The file states no usable microns per pixel and the caller gave none."""


class RegionError(SlideError, OSError):
    """A region or a native tile could not be read or decoded. The file's fault."""


class InvalidRequestError(SlideError, ValueError):
    """What was asked for makes no sense: negative size, no such level. The caller's fault."""


class MissingReaderError(SlideError, ImportError):
    """The library behind a reader is not installed; the message says how to install it."""
