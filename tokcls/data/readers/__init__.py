"""Readers: from a file in a usual format to sentences, or to all that is wrong with it."""
