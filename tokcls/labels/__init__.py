"""Spans, schemes, decoding and scoring; numpy only."""
