"""The remote members of `Provider`, one module a service."""
