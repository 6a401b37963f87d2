"""The network and its training; torch lives here."""
