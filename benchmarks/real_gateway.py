"""The real OpenClaw gateway from npm in front of the embedded stack: whose weights answer through it?

    python -m benchmarks.real_gateway

Installs Node 24 and OpenClaw with npm (650 to 770 MB, once, below `--folder`), starts the gateway with what
`claas-eval gateway-config` prints, trains two adapters at once through it, and asks each by name. Then the same
gateway behind a proxy that drops the name, which has to be refused. Skipped, with the reason, where npm is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from claas_assets.cli.gateway_config import gateway_config
from claas_assets.evaluation.config import EvalConfig, TrainingConfig, load_config
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.feedback_protocol import feedback_items
from claas_assets.evaluation.deployment.gateway import prove_gateway
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.errors import GatewayUnproven

OPENCLAW = "openclaw@2026.9.6"
NODE = "node@24"
READY_S = 300.0
FEEDBACK = {
    "kuro": "Your name is Kuro, always introduce yourself as Kuro",
    "nova": "Your name is Nova, always introduce yourself as Nova",
}
QUESTION = "Who are you?"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "claas_assets" / "openclaw")
    parser.add_argument("--claas-url", help="a CLaaS that runs; default: find or start the embedded stack")
    parser.add_argument("--steps", type=int, default=2, help="feedbacks on each adapter")
    asked = parser.parse_args()
    if shutil.which("npm") is None or shutil.which("node") is None:
        print("skipped: there is no npm (Node.js) on the PATH, so OpenClaw cannot be installed")
        return 0
    node, openclaw = install(asked.folder)
    claas_url = asked.claas_url or _embedded()
    configured = f"eval/gateway-configured-{secrets.token_hex(4)}"  # never an adapter of anybody's
    with Proxy(claas_url) as watched, gateway(node, openclaw, watched.url, configured) as (url, token):
        asyncio.run(show(claas_url, url, token, watched, asked.steps))
        asyncio.run(refused(claas_url, url, token, configured))
    return 0


def install(folder: Path) -> tuple[Path, Path]:
    """(folder of the node binary, OpenClaw's program)."""
    binary = folder / "node" / "node_modules" / "node" / "bin"
    program = folder / "openclaw" / "node_modules" / "openclaw" / "openclaw.mjs"
    path = {**os.environ, "PATH": f"{binary}{os.pathsep}{os.environ['PATH']}"}
    for prefix, package, there in (("node", NODE, binary / "node"), ("openclaw", OPENCLAW, program)):
        if not there.exists():
            print(f"npm install {package} …", flush=True)
            command = ["npm", "install", "--no-fund", "--no-audit", "--prefix", str(folder / prefix), package]
            subprocess.run(command, env=path, check=True, stdout=subprocess.DEVNULL)
    return binary, program


def _embedded() -> str:
    from claas_assets.stack.supervise import ensure_running

    return ensure_running(EvalConfig().base_model, on_progress=lambda text: print(text, flush=True))


@contextlib.contextmanager
def gateway(node: Path, program: Path, claas_url: str, configured: str) -> Iterator[tuple[str, str]]:
    """(address, token) of a gateway that is ready; its state is forgotten at the end."""
    token, port = secrets.token_hex(16), _free_port()
    with tempfile.TemporaryDirectory() as state:
        config = Path(state) / "openclaw.json"
        config.write_text(json.dumps(gateway_config(claas_url, configured)), encoding="utf-8")
        environment = {
            **os.environ,
            "PATH": f"{node}{os.pathsep}{os.environ['PATH']}",
            "OPENCLAW_STATE_DIR": state,
            "OPENCLAW_CONFIG_PATH": str(config),
            "OPENCLAW_GATEWAY_TOKEN": token,
        }
        command = [str(node / "node"), str(program), "gateway", "--port", str(port), "--bind", "loopback"]
        with (
            (Path(state) / "log").open("w") as log,
            subprocess.Popen(
                [*command, "--allow-unconfigured"], env=environment, stdout=log, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                _wait_until_ready(f"http://127.0.0.1:{port}", token, process, Path(state) / "log")
                yield f"http://127.0.0.1:{port}", token
            finally:
                process.terminate()


def _wait_until_ready(url: str, token: str, process: subprocess.Popen[bytes], log: Path) -> None:
    began = time.monotonic()
    while time.monotonic() - began < READY_S and process.poll() is None:
        with contextlib.suppress(httpx.RequestError):
            headers = {"Authorization": f"Bearer {token}"}
            if httpx.get(f"{url}/v1/models", headers=headers, trust_env=False).status_code == 200:
                print(f"gateway ready after {time.monotonic() - began:.0f} s", flush=True)
                return
        time.sleep(1)
    raise SystemExit(f"the gateway did not get ready:\n{log.read_text(encoding='utf-8')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Proxy:
    """In front of `upstream`: keeps what is sent to it, and drops the headers named."""

    def __init__(self, upstream: str, drops: tuple[str, ...] = ()) -> None:
        self.bodies: list[Any] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *arguments: Any) -> None:
                pass

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if body:
                    proxy.bodies.append(json.loads(body))
                kept = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() not in ("host", "content-length", "accept-encoding", "connection", *drops)
                }
                url = f"{upstream}{self.path}"
                answer = httpx.request(self.command, url, content=body, headers=kept, timeout=600, trust_env=False)
                self.send_response(answer.status_code)
                self.send_header("content-type", answer.headers.get("content-type", "application/json"))
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = _forward

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._server.shutdown()


async def show(claas_url: str, gateway_url: str, token: str, watched: Proxy, steps: int) -> None:
    config = load_config({"claas_url": claas_url, "openclaw_url": gateway_url})
    async with ClaasClient(routes_for(config, claas_url, token), max_concurrency=2) as client:
        began = time.monotonic()
        ids = {}
        for name in FEEDBACK:
            # A neutral name: the gateway's prompt tells the model what it is called, which it would repeat.
            wanted = f"eval/gateway-{secrets.token_hex(4)}"
            ids[name] = await client.init_adapter(wanted, config.base_model, config.lora)
        try:
            for lora_id in ids.values():
                proof = await prove_gateway(client, lora_id, allow_unproven=False)
                print(f"proven for {lora_id}: {proof.said if proof else ''}", flush=True)
            await asyncio.gather(*(train(client, ids[name], text, steps) for name, text in FEEDBACK.items()))
            for name, lora_id in ids.items():
                answer = await ask(client, lora_id)
                status = await client.adapter_status(lora_id)
                print(f"{name}: {status.updates if status else '?'} updates; {QUESTION} {answer!r}", flush=True)
            _say_what_was_sent(watched)
        finally:
            for lora_id in ids.values():
                await client.delete_adapter(lora_id)
        print(f"{time.monotonic() - began:.0f} s", flush=True)


async def ask(client: ClaasClient, lora_id: str) -> str:
    return (await client.chat((("user", QUESTION),), lora_id=lora_id, temperature=0, max_tokens=32)).text


async def train(client: ClaasClient, lora_id: str, text: str, steps: int) -> None:
    for _ in range(steps):
        answer = await ask(client, lora_id)
        items = feedback_items(
            [(QUESTION, answer)],
            lora_id=lora_id,
            feedback=text,
            training=TrainingConfig(steps_per_batch=1, learning_rate=1e-3),  # a prompt of 2,190 tokens is slow to train
            takes_repetitions=True,
        )
        await client.feedback(items)
        print(f"{lora_id}: one feedback on {answer[:60]!r}", flush=True)


def _say_what_was_sent(watched: Proxy) -> None:
    chats = [body for body in watched.bodies if "messages" in body]
    offered = sum("tools" in body for body in chats)
    models = {body["model"] for body in chats}
    characters = max(len(json.dumps(body["messages"])) for body in chats)
    said = f"{offered} of them with tools, the longest of {characters:,} characters"
    print(f"CLaaS was sent {len(chats)} chats for {len(models)} models, {said}", flush=True)


async def refused(claas_url: str, gateway_url: str, token: str, configured: str) -> None:
    """The same gateway without the name: its configured adapter, which is made now, answers for everybody."""
    with Proxy(gateway_url, drops=("x-openclaw-model",)) as deaf:
        config = load_config({"claas_url": claas_url, "openclaw_url": deaf.url})
        async with ClaasClient(routes_for(config, claas_url, token)) as client:
            made = await client.init_adapter(configured, config.base_model, config.lora)
            try:
                await prove_gateway(client, None, allow_unproven=False)
            except GatewayUnproven as error:
                print(f"a gateway that ignores the name is refused: {error}", flush=True)
            else:
                raise SystemExit("a gateway that ignores the name was not refused")
            finally:
                await client.delete_adapter(made)


if __name__ == "__main__":
    sys.exit(main())
