"""Write docs/openapi.json anew: `python -m tests.api.write_openapi`."""

from __future__ import annotations

import json
from importlib.metadata import version

from fastapi import FastAPI

from server.api.routes import install
from tests.api.test_openapi import COMMITTED


def main() -> None:
    """Write the document that the routes give now."""
    app = FastAPI(title="Greenroom", version=version("greenroom"), openapi_url=None)
    install(app, allowed_hosts=())
    COMMITTED.write_text(json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
