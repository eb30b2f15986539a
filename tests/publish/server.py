"""A stand-in for the Hugging Face Hub, spoken to by the real `huggingface_hub` client over HTTP. In memory; on 127.0.0.1 only.

    with Hub() as hub:
        subprocess.run([...], env={..., "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token})

It knows what the client asks for when it creates a repository, commits to it, lists it and downloads from it; that a write needs
the token; and how to be missing, gated, private, or broken. Uploads are "regular": no LFS, no xet.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]
_API = re.compile(
    r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit|paths-info)/([^/]+)(?:/(.*))?)?"
)
_FILE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repo:
    """A repository: its commits, the oldest first, each with all its files."""

    kind: str
    private: bool = False
    gated: bool = False
    commits: list[tuple[str, Files]] = field(default_factory=list)

    def at(self, revision: str) -> tuple[str, Files] | None:
        """The commit that a revision names."""
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == revision), None)

    def commit(self, files: Files) -> str:
        """Adds a commit and returns its id."""
        said = repr([len(self.commits), sorted((name, hashlib.sha1(data).hexdigest()) for name, data in files.items())])
        self.commits.append((hashlib.sha1(said.encode()).hexdigest(), files))
        return self.commits[-1][0]


class Hub:
    """The stand-in, serving while it is entered.

    Attributes:
        repos: by kind (`models`, `datasets`) and id.
        requests: method and path of each request so far.
        broken: a path (by regular expression) → the status that it is answered with.
    """

    def __init__(self) -> None:
        self.token = "hf_" + "stand" * 7
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[str] = []
        self.broken: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, files: Files, kind: str = "models", **how) -> Repo:
        """A repository with one commit."""
        repo = self.repos[kind, name] = Repo(kind, **how)
        repo.commit({".gitattributes": b""})
        repo.commit({".gitattributes": b"", **files})
        return repo

    def files(self, name: str, kind: str = "models") -> Files:
        """The newest files of a repository, without what the Hub itself puts there."""
        return {
            name_: data for name_, data in self.repos[kind, name].commits[-1][1].items() if name_ != ".gitattributes"
        }


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_) -> None:
            """Says nothing."""

        def do_GET(self) -> None:
            self._serve()

        def do_HEAD(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path)
            hub.requests.append(f"{self.command} {path.path}")
            status = next((status for form, status in hub.broken.items() if re.search(form, path.path)), None)
            if status is not None:
                return self._error(status, "", "broken on purpose")
            if path.path == "/api/whoami-v2":
                return (
                    self._json({"name": "me", "type": "user", "orgs": []})
                    if self._signed_in()
                    else self._error(401, "", "Invalid token")
                )
            if path.path == "/api/validate-yaml":
                return self._json({"errors": [], "warnings": []})
            if path.path == "/api/repos/create":
                return self._create(json.loads(body))
            if found := _API.fullmatch(path.path):
                return self._api(*found.groups(), body=body, query=parse_qs(path.query))
            if found := _FILE.fullmatch(path.path):
                return self._file(found[1] or "models", found[2], found[3], unquote(found[4]))
            return self._error(404, "", f"this stand-in has no {path.path}")

        def _signed_in(self) -> bool:
            return self.headers.get("Authorization") == f"Bearer {hub.token}"

        def _create(self, asked: dict) -> None:
            if not self._signed_in():
                return self._error(401, "", "Invalid credentials")
            kind = f"{asked.get('type') or 'model'}s"
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if (kind, name) in hub.repos:
                return self._error(409, "", "You already created this repo")
            repo = hub.repos[kind, name] = Repo(
                kind, private=bool(asked.get("private") or asked.get("visibility") == "private")
            )
            repo.commit({".gitattributes": b""})
            return self._json({"url": f"{hub.url}/{name}", "name": name, "id": name})

        def _repo(self, kind: str, name: str) -> Repo | None:
            """The repository, if this request may see it; else the answer has been sent."""
            repo = hub.repos.get((kind, name))
            if repo is None or (repo.private and not self._signed_in()):
                self._error(404, "RepoNotFound", "Repository not found")
            elif repo.gated and not re.search(rf"/api/{kind}/{name}$", self.path):
                self._error(403, "GatedRepo", "Access to this repository is restricted")
            else:
                return repo
            return None

        def _api(
            self,
            kind: str,
            name: str,
            what: str | None,
            revision: str | None,
            rest: str | None,
            body: bytes,
            query: dict,
        ) -> None:
            repo = self._repo(kind, unquote(name))
            if repo is None:
                return None
            if what in ("preupload", "commit") and not self._signed_in():
                return self._error(401, "", "Invalid credentials")
            found = repo.at(unquote(revision or "main"))
            if found is None:
                return self._error(404, "RevisionNotFound", "Revision not found")
            sha, files = found
            if what == "preupload":
                asked = json.loads(body)["files"]
                return self._json(
                    {
                        "files": [
                            {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked
                        ]
                    }
                )
            if what == "commit":
                return self._commit(repo, f"{'datasets/' if kind == 'datasets' else ''}{name}", body)
            if what == "tree":
                return self._json(
                    _tree(files, unquote(rest or ""), query.get("recursive", ["false"])[0].lower() == "true")
                )
            if what == "paths-info":
                paths = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
                return self._json([_entry(path, files[path]) for path in paths if path in files])
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            return self._json({"id": name, "modelId": name, "sha": sha, "private": repo.private, "gated": "auto" if repo.gated else False,
                               "siblings": siblings, "cardData": _front(files.get("README.md", b"")), "tags": []})  # fmt: skip

        def _commit(self, repo: Repo, page: str, body: bytes) -> None:
            lines = [json.loads(line) for line in body.splitlines()]
            header = next(line["value"] for line in lines if line["key"] == "header")
            if header.get("parentCommit") and header["parentCommit"] != repo.commits[-1][0]:
                return self._error(412, "", "The repository has changed")
            files = dict(repo.commits[-1][1])
            for line in lines:
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del files[line["value"]["path"]]
            sha = repo.commit(files)
            return self._json(
                {"success": True, "commitOid": sha, "commitUrl": f"{hub.url}/{page}/commit/{sha}", "hookOutput": ""}
            )

        def _file(self, kind: str, name: str, revision: str, path: str) -> None:
            repo = self._repo(kind, name)
            if repo is None:
                return None
            found = repo.at(unquote(revision))
            if found is None:
                return self._error(404, "RevisionNotFound", "Revision not found")
            sha, files = found
            if path not in files:
                return self._error(404, "EntryNotFound", "Entry not found")
            return self._send(
                200,
                files[path],
                {"ETag": f'"{_blob(files[path])}"', "X-Repo-Commit": sha, "Content-Type": "application/octet-stream"},
            )

        def _json(self, value: object) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _error(self, status: int, code: str, message: str) -> None:
            headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
            self._send(status, json.dumps({"error": message}).encode(), headers)

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler


def _tree(files: Files, under: str, recursive: bool) -> list[dict]:
    """Files and folders, as the Hub lists them."""
    prefix = f"{under.rstrip('/')}/" if under else ""
    inside = {name: data for name, data in files.items() if name.startswith(prefix)}
    folders = {
        prefix + "/".join(parts[:depth])
        for name in inside
        if (parts := name[len(prefix) :].split("/"))
        for depth in range(1, len(parts))
    }
    wanted: Callable[[str], bool] = (lambda name: True) if recursive else (lambda name: "/" not in name[len(prefix) :])
    listed = [
        {"type": "directory", "path": name, "size": 0, "oid": _blob(name.encode())}
        for name in sorted(folders)
        if wanted(name)
    ]
    return listed + [_entry(name, data) for name, data in inside.items() if wanted(name)]


def _entry(name: str, data: bytes) -> dict:
    return {"type": "file", "path": name, "size": len(data), "oid": _blob(data)}


def _blob(data: bytes) -> str:
    """Git's hash of a file."""
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def _front(readme: bytes) -> dict:
    import yaml

    found = re.match(r"---\n(.*?)\n---\n", readme.decode(), re.DOTALL)
    return yaml.safe_load(found[1]) if found else {}
