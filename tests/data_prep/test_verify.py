import subprocess
import sys

from orchard.formats.manifest import load_manifest
from tests.data_prep.builders import jpeg
from tests.data_prep.verification.damage import SHARD, change_bytes


def test_command_prints_a_table_or_a_trace_and_ends_in_a_status(dataset, tmp_path):
    def verify(*flags):
        command = [sys.executable, "-m", "data_prep.verify", f"--dataset={dataset}", *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    result = verify("--workers=1")
    assert (
        result.returncode == 0
        and "undamaged: every checksum of the manifest is right" in result.stdout
    )
    size = sum(shard.num_bytes for shard in load_manifest(str(dataset)).splits["train"].shards)
    assert f"train              1         12 {size / 1000:>9.4g} kB" in result.stdout
    assert verify("--id=a007", f"--output={tmp_path}/x.jpg").returncode == 0
    assert (tmp_path / "x.jpg").read_bytes() == jpeg(7, 22, 30)
    change_bytes(dataset, 300)
    result = verify("--workers=1")
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith(f"error: {SHARD}, record 0")
