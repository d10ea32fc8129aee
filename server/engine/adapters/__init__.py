"""Adapters: low-rank changes of a network, from their files to the rows of a forward."""
