"""What one model is: labels, data, model, inference. Knows nothing of sweeps."""
