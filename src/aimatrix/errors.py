"""The errors that AI Matrix raises on purpose, each with its exit code."""


class AimatrixError(Exception):
    """The work failed; the message is one sentence for a person. Root of all errors of ours."""

    exit_code = 1


class InputError(AimatrixError):
    """Wrong use or a bad file; the message names the file, the field and the mend."""

    exit_code = 2


class MissingPackageError(InputError):
    """An optional package is not installed; the message is the command that installs it."""

    def __init__(self, package: str, purpose: str, install: str | None = None) -> None:
        command = f"pip install {install or package}"
        super().__init__(f"{purpose} needs the package {package}; install it with: {command}")


class UnsupportedError(AimatrixError):
    """A platform cannot do what was asked (a dtype, a device); reported, never measured."""
