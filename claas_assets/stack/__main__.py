"""Run the embedded stack: `python -m claas_assets.stack --port 8080`."""

import argparse
import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from claas_assets import __version__
from claas_assets.stack.places import DEFAULT_MODEL, canonical_model, default_state_folder

DTYPES = ("auto", "float32", "bfloat16")
ENDING_S = 30.0
"""How long a stack that is told to end may take: the next one waits for it."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m claas_assets.stack", description="A CLaaS server for one machine.")
    parser.add_argument("--port", type=int, default=8080, help="0 chooses a free one (default 8080)")
    parser.add_argument("--host", default="127.0.0.1", help="there is no authentication: keep it local")
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME", help="answer under this name too (Host header)"
    )
    parser.add_argument("--base-model", default=DEFAULT_MODEL, help="Hugging Face id or folder")
    parser.add_argument(
        "--threads",
        type=int,
        default=int(os.environ.get("CLAAS_STACK_THREADS") or 0),
        help="torch threads; 0 leaves the choice to torch (default: $CLAAS_STACK_THREADS)",
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default=os.environ.get("CLAAS_STACK_DTYPE") or DTYPES[0],
        help="of the model; auto is bfloat16 where the machine multiplies it natively (default: $CLAAS_STACK_DTYPE)",
    )
    parser.add_argument("--state-dir", type=Path, help="where adapters are kept (default: in the cache)")
    parser.add_argument(
        "--results-dir", type=Path, default=Path("data/evals"), help="runs shown at /v1/eval (default: data/evals)"
    )
    parser.add_argument("--idle-timeout", type=float, default=0.0, metavar="SECONDS", help="end when idle; 0 = never")
    parser.add_argument(
        "--restore", action="append", default=[], metavar="LORA_ID=FILE", help="serve an exported adapter (a zip), too"
    )
    parser.add_argument("--registry", type=Path, help="file that tells others the address once it serves")
    options = parser.parse_args(arguments)
    if options.dtype not in DTYPES:  # argparse lets a default pass
        parser.error(f"CLAAS_STACK_DTYPE={options.dtype}: choose from {', '.join(DTYPES)}")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Load the model, then serve until told to stop or idle for too long."""
    options = parse_arguments(arguments)
    signal.signal(signal.SIGTERM, _leave)  # uvicorn stops serving, then raises it again
    base_model = canonical_model(options.base_model)
    state_dir = options.state_dir or default_state_folder(base_model)

    # Threads that spin while they wait for each other cost ten times the time when something else
    # needs a core as well. Read once, when torch loads its thread pool.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    import torch
    import uvicorn

    from claas_assets.stack.load import load_engine
    from claas_assets.stack.server import LOOPBACK, create_app
    from claas_assets.viewer.app import mount_eval

    if options.threads:
        torch.set_num_threads(options.threads)
    lock = _only_one(state_dir)
    listener = socket.create_server((options.host, options.port))
    dtype = None if options.dtype == "auto" else getattr(torch, options.dtype)
    engine = load_engine(base_model, state_dir / "adapters", dtype=dtype, on_progress=_say)
    for restored in options.restore:
        _restore(engine, restored)
    hosts = (*LOOPBACK, options.host, *options.allowed_host)
    app = create_app(engine, base_model, hosts)
    mount_eval(app, options.results_dir, hosts)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=10))
    url = f"http://{options.host}:{listener.getsockname()[1]}"
    _say(f"serving {base_model} at {url}")
    try:
        asyncio.run(_serve(server, listener, app, options, {"url": url, "base_model": base_model}))
    except KeyboardInterrupt:
        pass
    finally:
        _unregister(options.registry)
        engine.close()
        lock.release()


def _restore(engine: Any, asked: str) -> None:
    """Put an exported adapter (LORA_ID=FILE) into the store."""
    lora_id, _, file = asked.partition("=")
    try:
        info = engine.store.restore(lora_id, Path(file).read_bytes(), engine.modules)
    except (OSError, ValueError) as error:
        raise SystemExit(f"stack: --restore {asked}: {error}") from None
    _say(f"restored {info.lora_id} from {file}")


def _only_one(state_dir: Path) -> FileLock:
    """Hold the state folder: two processes that update one adapter would each overwrite the other's."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(state_dir / "stack.lock", fallback_to_soft=False)
        lock.acquire(timeout=ENDING_S)
    except Timeout:
        raise SystemExit(
            f"stack: another stack uses {state_dir}: ask that one, end it, or choose another --state-dir"
        ) from None
    except OSError as error:
        raise SystemExit(f"stack: {state_dir} cannot be used ({error}): choose another --state-dir") from None
    return lock


async def _serve(
    server: Any, listener: socket.socket, app: Any, options: argparse.Namespace, entry: dict[str, Any]
) -> None:
    watcher = asyncio.create_task(_watch(server, app, options, entry))
    await server.serve(sockets=[listener])
    watcher.cancel()


async def _watch(server: Any, app: Any, options: argparse.Namespace, entry: dict[str, Any]) -> None:
    """Tell the address once requests are taken; stop the server when nothing has come for long, or the engine ended."""
    while not server.started:
        await asyncio.sleep(0.02)
    if options.registry:
        _register(options.registry, entry)
    stack, limit = app.state.stack, options.idle_timeout
    while stack.engine.alive and not (limit and stack.idle_s() >= limit):
        await asyncio.sleep(min(1.0, limit / 4) if limit else 1.0)
    _say(f"idle for {limit:.0f} s: ending" if stack.engine.alive else "the engine's thread ended: ending")
    _unregister(options.registry)  # first, so that nobody is sent here any more
    server.should_exit = True


def _register(path: Path, entry: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    process = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    temporary.write_text(json.dumps({**entry, **process, "version": __version__}))
    temporary.replace(path)


def _unregister(path: Path | None) -> None:
    """Remove the entry, unless another stack has replaced it."""
    try:
        if path and json.loads(path.read_text())["pid"] == os.getpid():
            path.unlink()
    except (OSError, ValueError, KeyError):
        pass


def _leave(number: int, frame: object) -> None:
    """End by way of the `finally` clauses."""
    raise SystemExit(0)


def _say(message: str) -> None:
    print(f"stack: {message}", flush=True)


if __name__ == "__main__":
    main()
