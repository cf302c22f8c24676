"""What several tests share: tones, ffmpeg, the corpus, missing gradients, a stand-in for the Hub."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def kept_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of the key that signs what the tests make, instead of the developer's own."""
    folder = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        yield folder / "speech2video" / "signing.pem"


@pytest.fixture(scope="session")
def tone() -> Callable[..., np.ndarray]:
    """A sine (n,), float64, of 440 Hz and amplitude 0.5 by default."""

    def make(seconds: float, rate: int = 16_000, hz: float = 440, peak: float = 0.5) -> np.ndarray:
        return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)

    return make


@pytest.fixture(scope="session")
def dominant_hz() -> Callable[..., float]:
    """The frequency with the most energy in a waveform (n,)."""

    def measure(audio: np.ndarray, rate: int = 16_000) -> float:
        spectrum = np.abs(np.fft.rfft(np.asarray(audio) * np.hanning(len(audio))))
        return float(spectrum.argmax() * rate / len(audio))

    return measure


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., subprocess.CompletedProcess]:
    """Run the bundled ffmpeg with these arguments; its output comes back as bytes."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", *map(str, arguments)]
        return subprocess.run(command, capture_output=True)

    return run


@pytest.fixture(scope="session")
def disk_limit() -> Callable[[int], AbstractContextManager]:
    """As if the disk were full: within, no file grows beyond so many bytes."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The avatars corpus in the folder S2V_CORPORA; without it a test is skipped, and fails in CI."""
    return shared(
        Path(os.environ.get("S2V_CORPORA", SHARED / "corpora")) / "avatars", "S2V_CORPORA"
    )


@pytest.fixture(scope="session")
def cases() -> Path:
    """Small files that failed once, in the folder S2V_CASES; without it as without the corpus."""
    return shared(Path(os.environ.get("S2V_CASES", SHARED / "cases")), "S2V_CASES")


def shared(folder: Path, variable: str) -> Path:
    if not folder.is_dir():
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"no folder {folder}: name another with {variable}")
    return folder


@pytest.fixture(scope="session")
def without_gradient() -> Callable[..., list[str]]:
    """The names of a network's parameters that a loss of these outputs does not reach."""

    def names(network: torch.nn.Module, *outputs: torch.Tensor) -> list[str]:
        torch.manual_seed(0)
        loss = sum((output * torch.randn_like(output)).sum() for output in outputs)
        loss.backward()
        return [
            name
            for name, parameter in network.named_parameters()
            if parameter.grad is None or not parameter.grad.any()
        ]

    return names


@dataclass
class HubStandIn:
    """The part of the Hugging Face Hub's HTTP API that uploads and downloads use, in memory."""

    url: str = ""
    # "models/USER/NAME" or "spaces/USER/NAME" to files by name
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    created: list[dict] = field(default_factory=list)
    variables: list[dict] = field(default_factory=list)
    # by sha256, as LFS stores them
    large: dict[str, bytes] = field(default_factory=dict)
    # an HTTP status that answers every request; 0 for none
    refuse: int = 0
    commit: str = "0123456789abcdef0123456789abcdef01234567"

    def post(self, path: str, body: bytes) -> dict:
        if path == "/api/repos/create":
            self.created.append(asked := json.loads(body))
            kind, name = (
                asked.get("type", "model") + "s",
                f"{asked['organization']}/{asked['name']}",
            )
            self.repos.setdefault(f"{kind}/{name}", {})
            return {"url": f"{self.url}/{'spaces/' * (kind == 'spaces')}{name}"}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if path.endswith("/variables"):
            self.variables.append(json.loads(body))
            return {}
        if path.endswith("/objects/batch"):
            return {"objects": [self.lfs(asked) for asked in json.loads(body)["objects"]]}
        if "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [
                "lfs" if name.endswith((".safetensors", ".png")) else "regular" for name in names
            ]
            pairs = zip(names, modes, strict=True)
            return {
                "files": [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in pairs]
            }
        return self.commits(path.removeprefix("/api/").split("/commit/")[0], body)

    def lfs(self, asked: dict) -> dict:
        upload = {"href": f"{self.url}/upload/{asked['oid']}", "header": {}}
        return {**asked, "actions": {"upload": upload}}

    def commits(self, repo: str, body: bytes) -> dict:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.repos[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.repos[repo][value["path"]] = self.large[value["oid"]]
        return {"commitUrl": f"{self.url}/{repo}/commit/{self.commit}", "commitOid": self.commit}

    def entry(self, name: str, content: bytes) -> dict:
        oid = hashlib.sha1(content).hexdigest()
        return {"type": "file", "path": name, "size": len(content), "oid": oid}

    def get(self, path: str) -> dict | list | bytes | None:
        if "/resolve/" in path:
            repo, _, file = path[1:].partition("/resolve/")
            return self.repos.get(f"models/{repo}", {}).get(file.split("/", 1)[1])
        if "/tree/" in path:
            files = self.repos.get(path.removeprefix("/api/").partition("/tree/")[0], {})
            return [self.entry(name, content) for name, content in files.items()]
        if "/revision/" in path:
            repo, _, revision = path.removeprefix("/api/").partition("/revision/")
            if repo not in self.repos or revision not in (self.commit, "main"):
                return None
            files = [{"rfilename": name} for name in self.repos[repo]]
            return {"id": repo.removeprefix("models/"), "sha": self.commit, "siblings": files}
        return None


@pytest.fixture
def hub_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A Hub on this machine: no request reaches the real one, and nothing is cached."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub = HubStandIn()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, result: dict | list | bytes | None, body: bool = True) -> None:
            status = hub.refuse or (404 if result is None else 200)
            plain = result if isinstance(result, bytes) else json.dumps(result or {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(plain)))
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Repo-Commit", hub.commit)
            if status == 404:
                known = any(f"/{repo}/" in self.path for repo in hub.repos)
                self.send_header("X-Error-Code", "RevisionNotFound" if known else "RepoNotFound")
            self.send_header("ETag", f'"{hashlib.sha256(plain).hexdigest()}"')
            self.end_headers()
            if body:
                self.wfile.write(plain)

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"] or 0))

        def do_POST(self) -> None:
            self.answer(hub.post(self.path, self.body()) if not hub.refuse else {})

        def do_PUT(self) -> None:
            hub.large[self.path.rpartition("/")[2]] = self.body()
            self.answer({})

        def do_GET(self) -> None:
            self.answer(hub.get(self.path.split("?")[0]))

        def do_HEAD(self) -> None:
            self.answer(hub.get(self.path.split("?")[0]), body=False)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()
