"""From a bundle to entities, in a call or over HTTP."""
