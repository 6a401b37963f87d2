"""Running the trials of a sweep on Ray."""
