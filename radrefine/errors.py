"""Errors of radrefine.

RadrefineError                exit code 1
├── UsageError                2   an option or argument that cannot be used
├── MissingExtraError         1   an optional package is not installed
├── SourceError               1   a source that is missing, empty or not what its name says
├── ImageError                -   one image cannot be read; becomes a row in the failures table
├── RefinedFolderError        1   not a refined folder, or one that does not match the request
├── SplitError                1   a split that cannot be made or read
├── HubError                  1   the Hub refused or could not be reached
└── WorkerError               1   a worker process ended before its work

Every message says what was expected, what was got and what to do next, in one sentence.
"""


class RadrefineError(Exception):
    """Base of all errors that a user can mend."""

    exit_code = 1


class UsageError(RadrefineError):
    """An option or argument cannot be used."""

    exit_code = 2


class MissingExtraError(RadrefineError):
    """An optional package is not installed.

    Args:
        package: The module that could not be imported.
        extra: The extra of this project that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}, which is not installed; run: pip install 'radrefine[{extra}]'")


class SourceError(RadrefineError):
    """A source is missing, empty or not what its name says."""


class ImageError(RadrefineError):
    """One image cannot be read; the message becomes its reason in the failures table."""


class RefinedFolderError(RadrefineError):
    """A folder is not a refined folder, or does not match the request."""


class SplitError(RadrefineError):
    """A split cannot be made or read."""


class HubError(RadrefineError):
    """The Hub refused a request or could not be reached."""


class WorkerError(RadrefineError):
    """A worker process ended before its work."""
