"""From files to batches; no torch."""
