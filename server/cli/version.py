"""`greenroom version`."""

from __future__ import annotations


def version() -> None:
    """Print the versions of what matters for a report of a fault."""
    import platform
    from importlib.metadata import version as installed

    from server.cli.console import results

    out = results()
    out.print(f"greenroom {installed('greenroom')}")
    for name in ("torch", "diffusers", "transformers"):
        out.print(f"{name} {installed(name)}")
    out.print(f"python {platform.python_version()}")
