"""The small corpus that ships with the package."""
