"""The server's own process: `python -m tests.gcs_server.serve DIRECTORY BUCKET...`.

Prints one JSON line, {"url": ..., "ca": ...}, once it listens; who starts it has it end with them.
"""

import json
import signal
import sys
from pathlib import Path

from tests.gcs_server.certificate import write_certificates
from tests.gcs_server.front import Front


def main(directory: str, *buckets: str) -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Ctrl-C reaches the whole group: the command that runs against us must end first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ca_path, server_path = write_certificates(Path(directory))
    with Front(server_path) as front:
        for bucket in buckets:
            body = json.dumps({"name": bucket}).encode()
            content = [("Content-Type", "application/json")]
            front.emulator.request("POST", "/storage/v1/b?project=test", content, body)
        print(json.dumps({"url": front.url, "ca": str(ca_path)}), flush=True)
        front.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
