"""From finished trials to a registered model."""
