"""From a YAML file to a checked search space; no Ray, torch, transformers, MLflow or datasets."""
