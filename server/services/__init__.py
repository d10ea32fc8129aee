"""Use cases: what the surfaces offer, free of HTTP."""
