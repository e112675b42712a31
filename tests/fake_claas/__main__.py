"""The fake by hand, for benchmarks and for trying things: `python -m tests.fake_claas --mode tinker --port 8080`."""

from __future__ import annotations

import argparse
import threading

from tests.fake_claas.fake import FakeClaas
from tests.fake_claas.gateway import FakeGateway
from tests.fake_claas.profiles import PROFILES


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake CLaaS deployment on loopback. Ends with Ctrl-C.")
    parser.add_argument("--mode", choices=sorted(PROFILES), default="embedded")
    parser.add_argument("--port", type=int, default=8080, help="0 for any free one")
    parser.add_argument("--generation", choices=["new", "old"], default="new")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds added to every call")
    parser.add_argument(
        "--latency-of", nargs=2, action="append", default=[], metavar=("PATH", "SECONDS"),
        help="of the calls of one path, e.g. /v1/feedback 0.8",
    )  # fmt: skip
    parser.add_argument("--gateway-port", type=int, help="also a fake OpenClaw gateway, on this port")
    parser.add_argument("--gateway-adapter", default="", help="the adapter that the gateway serves")
    asked = parser.parse_args()
    with FakeClaas(asked.mode, port=asked.port, generation=asked.generation) as fake:
        fake.latency_s["*"] = asked.latency
        fake.latency_s.update({path: float(seconds) for path, seconds in asked.latency_of})
        print(f"fake CLaaS ({asked.mode}, {asked.generation} generation) at {fake.url}", flush=True)
        gateway = None
        if asked.gateway_port is not None:
            gateway = FakeGateway(fake.url, asked.gateway_adapter, port=asked.gateway_port)
            print(f"fake OpenClaw gateway at {gateway.url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
        finally:
            if gateway is not None:
                gateway.close()


if __name__ == "__main__":
    main()
