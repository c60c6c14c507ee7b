from common.errors import UserError  # noqa: F401
