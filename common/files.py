from training.files import *  # noqa: F401,F403
from training.files import is_folder, is_remote  # noqa: F401
