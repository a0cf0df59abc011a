"""What can go wrong between a slide and its patch store."""


class TilingError(Exception):
    """Base of every error that this package raises on purpose."""


class ManifestError(TilingError, ValueError):
    """The list of slides is wrong: the user's file or folder names, with line numbers."""


class PlanError(TilingError, ValueError):
    """What was asked for cannot be cut from this slide: resolution, patch size, mask."""


class ConflictError(TilingError):
    """The archive already holds this slide under another configuration or source."""


class StoreError(TilingError, OSError):
    """The archive could not be read or written: permission, space, network."""


class CorruptStoreError(TilingError, ValueError):
    """What is stored is not what was written: checksum, index or codestream."""


class DamagedSlideError(TilingError):
    """More patches of the slide were unreadable than the threshold allows."""


class LeaseError(TilingError):
    """Another run owns the slide, or has taken over this run's lease."""
