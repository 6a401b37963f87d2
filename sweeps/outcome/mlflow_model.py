"""The registered model as MLflow loads it: code, not a pickle; its artifact is the bundle.

Input: a list of texts. Output: a list of entities for each text, as `POST /predict` gives them.
"""

from __future__ import annotations

from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel

from tokcls.inference.predictor import Predictor


class BundleModel(PythonModel):
    """Loads the artifact `bundle` once and answers lists of texts."""

    def load_context(self, context: Any) -> None:
        self.predictor = Predictor.from_bundle(context.artifacts["bundle"])

    def predict(
        self, context: Any, model_input: list[str], params: dict[str, Any] | None = None
    ) -> list[list[dict[str, Any]]]:
        found = self.predictor.predict_texts(list(model_input))
        return [[entity.as_dict() for entity in entities] for entities in found]


mlflow.models.set_model(BundleModel())
