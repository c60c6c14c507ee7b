"""Trained models in use; `from serving import Predictor` is the way in."""

from common.quiet import quiet_libraries

quiet_libraries()  # Before TensorFlow is imported.

from serving.predictor import Predictor  # noqa: E402

__all__ = ["Predictor"]
