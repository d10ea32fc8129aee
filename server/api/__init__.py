"""HTTP: one module a surface."""
