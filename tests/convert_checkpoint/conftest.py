"""A vocabulary for models of odd sizes."""

from __future__ import annotations

import pytest
from models import ODD_CONFIG, write_vocabulary

from modeling.wordpiece import SPECIAL_TOKENS


@pytest.fixture(scope="package")
def odd_vocab_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    words = [f"w{i}" for i in range(ODD_CONFIG.vocab_size - len(SPECIAL_TOKENS))]
    return write_vocabulary(tmp_path_factory.mktemp("odd") / "vocab.txt", words)
