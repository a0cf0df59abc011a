"""What can go wrong with a request; `service.problems` says which HTTP status each one has."""


class ServiceError(Exception):
    """Base of every error that this package raises on purpose."""


class NotFoundError(ServiceError, LookupError):
    """There is no such slide, map, job or file here, or the caller may not know of it."""


class InvalidError(ServiceError, ValueError):
    """The request makes no sense: a value, a path outside the roots. The client's fault."""


class UnauthorizedError(ServiceError):
    """No token, or one that is not valid."""


class ForbiddenError(ServiceError):
    """A valid token without the scope that this needs."""


class StateError(ServiceError):
    """Something is not in the state that this needs: taken, finished, another version."""


class TooLargeError(ServiceError):
    """A body, a picture or an upload is larger than the settings allow."""


class TooManyError(ServiceError):
    """Too many requests or jobs; `retry_after_s` says when to come again."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnavailableError(ServiceError):
    """The database, the storage or the cluster does not answer, or the disk is full."""


class BusyError(UnavailableError):
    """All hands are busy; `retry_after_s` says when to come again."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SlowError(ServiceError):
    """The client has sent nothing for too long."""
