"""Trained models in use; `from serving import Predictor` is the way in."""

from serving.predictor import Predictor

__all__ = ["Predictor"]
