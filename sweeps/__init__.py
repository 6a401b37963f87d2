"""What many models are: spaces, trials, outcomes. Imports tokcls."""
