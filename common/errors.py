"""The one exception a user is meant to read."""


class UserError(Exception):
    """Input, flags or files that the user has to change.

    The message is one sentence that names the file, line, flag or variable, the value found and the
    value expected, and what to do. Scripts print it without a traceback and exit with status 1
    (`training.cli`).
    """


class MissingFileError(UserError):
    """A file that is not there."""
