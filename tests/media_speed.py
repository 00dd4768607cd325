#!/usr/bin/env python3
"""How fast media go up and down in each place: the own disk, the database, an S3 store.

  HAECHI_TEST_POSTGRES=... tests/media_speed.py [--mib 64] [--runs 3]

Run it below `tools/private_postgres.py run --`. The S3 store is tests/fake_s3.py, in this process: its figures say what
Haechi costs, not what a real store gives. Each figure is the median of the runs; "cold" is a node without a copy.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import harness  # noqa: E402
from fake_s3 import ACCESS_KEY, REGION, SECRET_KEY, FakeS3  # noqa: E402

V1 = "/_matrix/client/v1/media/"


def wal_bytes():
    ask = ["psql", "-XAtq", os.environ["HAECHI_TEST_POSTGRES"], "-c", "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"]
    return int(subprocess.run(ask, capture_output=True, text=True, check=True).stdout)


def measure(server, mib, runs, with_wal):
    u = server.register()
    auth = {"Authorization": f"Bearer {u.token}", "Content-Type": "application/octet-stream"}
    http = harness.Http(server.port, 600)
    up, again, warm, cold, small, wal = [], [], [], [], [], []
    for _ in range(runs):
        data = os.urandom(mib << 20)
        before = wal_bytes() if with_wal else 0
        start = time.monotonic()
        where = harness.ok(http.request("POST", "/_matrix/media/v3/upload", data, auth))["content_uri"][6:]
        up.append(mib / (time.monotonic() - start))
        wal.append((wal_bytes() - before) / len(data) if with_wal else 0)
        start = time.monotonic()
        harness.ok(http.request("POST", "/_matrix/media/v3/upload", data, auth))
        again.append(mib / (time.monotonic() - start))
        for figures in (warm, cold):
            if figures is cold:
                server.stop()
                shutil.rmtree(Path(server.data) / "cache", ignore_errors=True)
                server.start()
            start = time.monotonic()
            harness.check(http.request("GET", V1 + "download/" + where, headers=auth).body == data)
            figures.append(mib / (time.monotonic() - start))
        start = time.monotonic()
        for _ in range(50):
            harness.ok(http.request("POST", "/_matrix/media/v3/upload", os.urandom(30_000), auth))
        small.append((time.monotonic() - start) / 50 * 1000)
    m = statistics.median
    print(f"  up {m(up):6.0f} MiB/s   up again {m(again):6.0f}   down {m(warm):6.0f}   down cold {m(cold):6.0f}   "
          f"30 KB up {m(small):5.1f} ms" + (f"   WAL {m(wal):.2f} bytes a byte" if with_wal else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    if not harness.POSTGRES:
        parser.error("HAECHI_TEST_POSTGRES is not set: tools/private_postgres.py run -- tests/media_speed.py")
    with FakeS3() as s3, tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret"
        secret.write_text(SECRET_KEY)
        places = {"local": "", "database": '[blobs]\nstore = "database"\n',
                  "s3": f'[blobs]\nstore = "s3"\ns3_endpoint = "{s3.endpoint}"\ns3_region = "{REGION}"\n'
                        f's3_bucket = "media"\ns3_access_key = "{ACCESS_KEY}"\ns3_secret_key_file = "{secret}"\n'}
        for name, config in places.items():
            print(name, flush=True)
            postgres, harness.POSTGRES = harness.POSTGRES, harness.POSTGRES if name != "local" else {}
            try:
                with harness.Server(config=config, nodes=1) as server:
                    measure(server, args.mib, args.runs, name == "database")
            finally:
                harness.POSTGRES = postgres


if __name__ == "__main__":
    main()
