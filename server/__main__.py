"""The `greenroom` command; `python -m server` is the same."""

from __future__ import annotations

from server.cli.main import run


def main() -> None:
    """Run the command line and end the process with its exit code."""
    run()


if __name__ == "__main__":
    main()
