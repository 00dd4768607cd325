#!/usr/bin/env python3
"""Runs the functions test_* of tests/e2e/*.py against one shared server, several at a time.

usage: tests/run.py [-j N] [--list] [--durations N] [pattern ...]
A pattern selects tests whose "file.function" contains it; `smoke` selects those marked so.
HAECHI_BINARY names another binary than build/release/haechi.
"""

import argparse
import concurrent.futures
import importlib.util
import os
import re
import sys
import threading
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import harness  # noqa: E402

# One allow-list for the whole run: pushers and previews of the tests live on loopback.
CONFIG = os.environ.get("HAECHI_TEST_CONFIG") or (HERE / "e2e" / "server.toml").read_text()


def load():
    tests = []
    for path in sorted((HERE / "e2e").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"e2e_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        smoke = set(getattr(module, "SMOKE", ()))
        alone = set(getattr(module, "ALONE", ()))
        # What holds for a client that stays at its node; True: the whole file.
        one_node = getattr(module, "ONE_NODE", ()) if harness.NODES > 1 else ()
        for name, value in vars(module).items():
            if name.startswith("test_") and callable(value) and value.__module__ == module.__name__:
                if one_node is True or name in one_node:
                    continue
                tests.append((f"{path.stem}.{name[5:]}", value, name in smoke, name in alone))
    return tests


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="*")
    parser.add_argument("-j", "--jobs", type=int, default=6)
    parser.add_argument("--list", action="store_true", help="names the tests and ends")
    parser.add_argument("--durations", type=int, default=8, help="how many of the slowest to print")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for every test, not only for failures")
    args = parser.parse_args()

    tests = load()
    if args.pattern:
        tests = [t for t in tests if any(p in t[0] or (p == "smoke" and t[2]) for p in args.pattern)]
    if args.list:
        print("\n".join(t[0] for t in tests))
        return 0
    if not tests:
        print("no test matches")
        return 2

    durations, failures, done, lock = [], [], 0, threading.Lock()
    began = time.monotonic()

    def run(test, server):
        nonlocal done
        name, function, _, _ = test
        start = time.monotonic()
        error = None
        try:
            function(server)
        except Exception:
            error = traceback.format_exc(limit=-6)
        finally:
            server.http.close()
        took = time.monotonic() - start
        with lock:
            done += 1
            durations.append((took, name))
            if error:
                failures.append(name)
                print(f"FAIL {name} ({took:.2f} s)\n{error}", flush=True)
            elif args.verbose:
                print(f"ok   {name} ({took:.2f} s)", flush=True)
            elif sys.stdout.isatty():
                print(f"\r  {done}/{len(tests)}", end="", flush=True)

    server = harness.Server(config=CONFIG)
    try:
        server.start()
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda t: run(t, server), [t for t in tests if not t[3]]))
        for test in tests:
            if test[3]:
                run(test, server)
        alive = server.process.poll() is None
        if not alive:
            failures.append("the shared server")
            print(f"FAIL the shared server died with {server.process.returncode}\n{server.log_tail()}")
    finally:
        died = server.process.poll() if server.process else None
        kind = AssertionError if (failures or died) else None
        if died not in (None, 0):
            server.process = None
        server.__exit__(kind, None, None)

    print(f"\nslowest of {len(durations)}:")
    for took, name in sorted(durations, reverse=True)[: args.durations]:
        print(f"  {took:6.2f} s  {name}")
    names = ", ".join(failures)
    print(f"{time.monotonic() - began:.1f} s in all" + (f"; failed: {names}" if failures else ""))
    bad = len(failures)
    print(f"{max(0, len(durations) - bad)} passed, {bad} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    # A word about patterns that look like paths: tests/e2e/sync.py means sync.
    sys.argv = [sys.argv[0]] + [re.sub(r"^(?:.*/)?e2e/(\w+)\.py$", r"\1.", a) for a in sys.argv[1:]]
    sys.exit(main())
