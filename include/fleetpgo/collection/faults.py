"""Exceptions of this package for a missing profile. Their message becomes the `reason` of a record.

NoProfileError
├── NeverError          permanent: a retry would fail, too
│   └── ForbiddenError  401 or 403: stops the round, for other instances would refuse these credentials, too
├── NotNowError         temporary: a retry may succeed
│   └── ServerError     a 5xx other than "busy with another profile"; counts towards collection.max_errors
├── UnusableError       the answer is not a usable profile
│   └── NothingError    the profile has no samples
└── StoppedError        not requested: the round was stopped
"""


class NoProfileError(Exception):
    """There is no profile of this instance; the message says why."""


class NeverError(NoProfileError):
    """The failure is permanent: a retry would fail, too."""


class ForbiddenError(NeverError):
    """The instance does not accept our credentials."""


class NotNowError(NoProfileError):
    """The failure is temporary: a retry may succeed."""


class ServerError(NotNowError):
    """The instance answered with a server error."""


class UnusableError(NoProfileError):
    """The answer is not a usable profile."""


class NothingError(UnusableError):
    """The answer holds no samples."""


class StoppedError(NoProfileError):
    """The round was stopped before this instance was asked."""
