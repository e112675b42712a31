"""`claas-eval view [RESULTS_DIR] [--port PORT]`: the results in a browser, from files alone."""

import argparse
import socket
import sys
from pathlib import Path

from claas_assets.cli.folders import DEFAULT_RESULTS, local_folder
from claas_assets.evaluation.errors import NoSuchRun
from claas_assets.evaluation.runs.catalog import run_overview
from claas_assets.viewer import DEFAULT_PORT

HOST = "127.0.0.1"  # results hold what users wrote: there is no option to show them to a network


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="claas-eval view", description=__doc__)
    parser.add_argument(
        "results_dir", nargs="?", type=local_folder, default=DEFAULT_RESULTS,
        help=f"a folder of runs, or one run (default: {DEFAULT_RESULTS})",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"0 chooses a free one (default: {DEFAULT_PORT})"
    )
    return parser.parse_args(arguments)


def place_of(path: Path) -> tuple[Path, str | None]:
    """The results folder, and the run where `path` is that of one run."""
    if run_overview(path.resolve()) is not None:
        return path.resolve().parent, path.resolve().name
    return path, None


def run(arguments: list[str]) -> int:
    """Serve until Ctrl-C. 1: the port is taken. Raises `NoSuchRun`."""
    options = parse(arguments)
    if options.results_dir != DEFAULT_RESULTS and not options.results_dir.is_dir():
        raise NoSuchRun(f"{options.results_dir} is not a folder: name one that holds runs")
    try:
        listener = socket.create_server((HOST, options.port))
    except (OSError, OverflowError) as error:
        print(
            f"claas-eval view: port {options.port} cannot be used ({error}): name another with --port", file=sys.stderr
        )
        return 1
    results_dir, only = place_of(options.results_dir)
    address = f"http://{HOST}:{listener.getsockname()[1]}/{f'runs/{only}' if only else ''}"
    print(f"Results in {results_dir / (only or '')}: {address}  (Ctrl-C ends)", flush=True)
    _serve(listener, results_dir, only)
    return 0


def _serve(listener: socket.socket, results_dir: Path, only: str | None) -> None:
    import uvicorn  # with FastAPI 0.3 s, and only where pages are served

    from claas_assets.viewer.app import build_app

    config = uvicorn.Config(build_app(results_dir, only=only), log_level="warning", timeout_graceful_shutdown=2)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        listener.close()
