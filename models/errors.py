"""What can go wrong with encoders, weights, bags and training; each says whose fault it is."""


class ModelError(Exception):
    """Base of the errors of this package; caught to tell a person what to do."""


class EncoderError(ModelError, ValueError):
    """No such encoder, or a layer that it does not have: the request's fault."""


class WeightsError(ModelError, ValueError):
    """Weights are missing, damaged, pickled or of another architecture: the file's fault."""


class MismatchError(ModelError, ValueError):
    """An encoder was asked to work at a resolution or size other than its card says."""


class NumericsError(ModelError, ArithmeticError):
    """A network gave NaN or infinity."""


class DataError(ModelError, ValueError):
    """Slides cannot be read together: patch sizes, types or the meaning of labels differ."""


class PresetError(ModelError, ValueError):
    """No such augmentation preset, or it cannot be changed as asked: the request's fault."""


class BagError(ModelError, ValueError):
    """Bags cannot be written or read as asked: an unknown format, IDs that a consumer misreads."""


class LabelsError(ModelError, ValueError):
    """Labels are missing, or too few for what was asked."""


class MissingExtraError(ModelError, ImportError):
    """An optional package is not installed; the message says which extra to install."""
