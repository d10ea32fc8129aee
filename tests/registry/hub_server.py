"""A small hub on this machine: the endpoints that huggingface_hub asks, and failures on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_a_test"  # noqa: S105


@dataclass
class Repo:
    """One repo with one commit."""

    files: dict[str, bytes]
    is_gated: bool = False


@dataclass
class FakeHub:
    """What the server knows, and how it behaves; `asked` is what came in."""

    repos: dict[str, Repo] = field(default_factory=dict)
    url: str = ""
    cuts: dict[str, list[int]] = field(default_factory=dict)  # by file: bytes before each cut
    damaged: set[str] = field(default_factory=set)
    busy: int = 0  # answers of 503 to come
    ignores_range: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def put(self, repo: str, folder: Path, *, is_gated: bool = False) -> None:
        """Serve all files of `folder` as `repo`."""
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        self.repos[repo] = Repo(files, is_gated)

    def fetched(self) -> list[str]:
        """Return the paths of files that were asked for, in order."""
        return [path.split(f"/{COMMIT}/")[1] for path, _ in self.asked if "/resolve/" in path]


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve `hub` while the block runs."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def tree(files: dict[str, bytes]) -> list[dict[str, object]]:
    """Return the listing of a commit as the hub gives it; large files are in LFS."""
    listed: list[dict[str, object]] = []
    for path, data in files.items():
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        one: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": git}
        if path.endswith((".safetensors", ".bin")):
            sha = hashlib.sha256(data).hexdigest()
            one["lfs"] = {"oid": sha, "size": len(data), "pointerSize": 130}
        listed.append(one)
    return listed


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.hub.asked.append((path, self.headers.get("Range")))
        if path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/").split("/"))
        elif path.startswith("/files/"):
            self._bytes(path.removeprefix("/files/"), self.hub.repos["files"])
        else:
            owner, name, _, _, *rest = path[1:].split("/")
            self._file(f"{owner}/{name}", "/".join(rest))

    def _api(self, parts: list[str]) -> None:
        name = "/".join(parts[:2])
        repo = self.hub.repos.get(name)
        if repo is None:
            self._answer(401 if not self._signed() else 404, {}, code="RepoNotFound")
        elif parts[2] == "revision":
            self._answer(200, {"id": name, "sha": COMMIT, "siblings": []})
        elif parts[3] != COMMIT:
            self._answer(404, {}, code="RevisionNotFound")
        else:
            self._answer(200, tree(repo.files))

    def _file(self, name: str, path: str) -> None:
        repo = self.hub.repos[name]
        if repo.is_gated and not self._signed():
            self._answer(401 if "Authorization" not in self.headers else 403, {}, code="GatedRepo")
            return
        self._bytes(path, repo)

    def _bytes(self, path: str, repo: Repo) -> None:
        if self.hub.busy:
            self.hub.busy -= 1
            self._answer(503, {})
            return
        if path not in repo.files:
            self._answer(404, {}, code="EntryNotFound")
            return
        data = repo.files[path]
        if path in self.hub.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = 0
        told = self.headers.get("Range")
        if told and not self.hub.ignores_range:
            start = int(told.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self._answer(416, {})
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cuts = self.hub.cuts.get(path, [])
        if cuts:
            self.wfile.write(data[start : start + cuts.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(data[start:])

    def _signed(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _answer(self, status: int, value: object, code: str | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code is not None:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        del format, arguments
