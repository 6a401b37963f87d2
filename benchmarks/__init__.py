"""Side-by-side measurements; each module prints a table and ends with one JSON line."""
