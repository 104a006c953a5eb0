"""Errors of pgnm.

PgnmError                     exit code 1
├── UsageError                2   an option, recipe key or argument that cannot be used
├── MissingExtraError         1   an optional package is not installed
├── SplitError                1   a split folder that is missing, incomplete or does not fit the model
├── LeakageError              4   images shared between splits
├── RunError                  1   a run folder that is missing, incomplete or from another configuration
├── HubError                  1   the Hub refused or could not be reached
└── TrainingError             1   training cannot go on, such as after a loss that is not finite

Every message says what was expected, what was got and what to do next, in one sentence.
"""


class PgnmError(Exception):
    """Base of all errors that a user can mend."""

    exit_code = 1


class UsageError(PgnmError):
    """An option, recipe key or argument cannot be used."""

    exit_code = 2


class MissingExtraError(PgnmError):
    """An optional package is not installed.

    Args:
        package: The module that could not be imported.
        extra: The extra of this project that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}, which is not installed; run: pip install 'radrefine[{extra}]'")


class SplitError(PgnmError):
    """A split folder is missing, incomplete or does not fit the model."""


class LeakageError(PgnmError):
    """Images are shared between splits."""

    exit_code = 4


class RunError(PgnmError):
    """A run folder is missing, incomplete or from another configuration."""


class HubError(PgnmError):
    """The Hub refused a request or could not be reached."""


class TrainingError(PgnmError):
    """Training cannot go on."""
