"""What the HTTP process may import of the engine."""

from __future__ import annotations

import subprocess
import sys


def test_the_http_process_never_imports_torch() -> None:
    code = (
        "import sys, server.engine.client, server.pictures.recipe_file, server.engine.devices;"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
