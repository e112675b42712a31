"""Stores that are not folders of this machine: S3 as moto's server speaks it, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BUCKET, SECRET = "evaluations", "nothing-secret"


@contextmanager
def s3_server() -> Iterator[str]:
    """A server with one empty bucket; the environment names it, for this process and those that it starts."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
                patch.delenv(name, raising=False)
            patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
            patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
            patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            patch.setenv("AWS_CONFIG_FILE", "/dev/null")
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            s3fs.S3FileSystem.clear_instance_cache()
            s3fs.S3FileSystem().mkdir(BUCKET)
            yield f"http://{host}:{port}"
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()


def tree(fs, root: str) -> dict[str, bytes]:
    """Every object below `root`, by its path from there."""
    root = root.strip("/")
    fs.invalidate_cache()
    paths = [path for path in fs.find(root) if not fs.isdir(path)]
    return {path.strip("/").removeprefix(f"{root}/"): fs.cat_file(path) for path in paths}
