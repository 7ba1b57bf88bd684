"""Exceptions inside this package for a missing profile; outside it they are a record's `reason`.

NoProfileError
├── NeverError          asking again would not change it
│   └── ForbiddenError  401 or 403: no other instance is asked with these credentials either
├── NotNowError         it may answer if asked again
│   └── ServerError     a 5xx that is not "busy with another profile": counts for the circuit breaker
├── UnusableError       something came, and it is no profile that can be used
│   └── NothingError    what came is empty: there are no samples
└── StoppedError        not asked: the round was stopped
"""


class NoProfileError(Exception):
    """There is no profile of this instance; the message says why."""


class NeverError(NoProfileError):
    """Asking again would not change it."""


class ForbiddenError(NeverError):
    """The instance does not accept our credentials."""


class NotNowError(NoProfileError):
    """The instance may answer if asked again."""


class ServerError(NotNowError):
    """The instance answered with a server error."""


class UnusableError(NoProfileError):
    """The answer is not a profile that can be used."""


class NothingError(UnusableError):
    """The answer holds no samples."""


class StoppedError(NoProfileError):
    """The round was stopped before this instance was asked."""
