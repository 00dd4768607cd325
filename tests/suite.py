#!/usr/bin/env python3
"""Runs every test of the house, after `./dev test` has built it, and adds up.

usage: tests/suite.py [--only WORD ...] [--fuzz-seconds N]
The last line is "N passed, N failed"; the exit code says the same.
"""

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "logs"
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=0:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
              "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1", "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0"}


class Job:
    def __init__(self, name, command, timeout=300, alone=False, **env):
        self.name, self.command, self.timeout, self.alone, self.env = name, [str(c) for c in command], timeout, alone, env
        self.passed, self.failed, self.seconds, self.slowest = 0, 0, 0.0, []

    def run(self):
        log = LOGS / f"test-{self.name.replace(' ', '-')}.log"
        start = time.monotonic()
        try:
            with open(log, "wb") as out:
                code = subprocess.run(self.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                      timeout=self.timeout, env={**os.environ, **SANITIZERS, **self.env}).returncode
        except subprocess.TimeoutExpired:
            code = -1
            with open(log, "ab") as out:
                out.write(f"\nended after {self.timeout} s without a result\n".encode())
        except OSError as e:
            code = -1
            log.write_text(str(e))
        self.seconds = time.monotonic() - start
        text = log.read_text(errors="replace")
        self.count(text, code)
        return text

    def count(self, text, code):
        """How many tests were in it: as doctest and run.py say, else one."""
        if m := re.findall(r"test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed", text):
            self.passed, self.failed = int(m[-1][1]), int(m[-1][2])
        elif m := re.findall(r"^(\d+) passed, (\d+) failed$", text, re.M):
            self.passed, self.failed = int(m[-1][0]), int(m[-1][1])
        elif code == 0:
            self.passed = 1
        if code != 0 and self.failed == 0:
            self.failed = 1
        own = [(float(s), n.strip()) for s, n in re.findall(r"^\s*([\d.]+) s(?::|  ) *(\S.*)$", text, re.M)]
        self.slowest = [(s, f"{self.name}: {n}") for s, n in own] or [(self.seconds, self.name)]


def jobs(fuzz_seconds):
    release, asan, tsan = ROOT / "build/release", ROOT / "build/asan", ROOT / "build/tsan"
    python = sys.executable
    yield Job("house rules", [python, "tools/house_arrows.py"])
    yield Job("shell scripts", ["shellcheck", "dev", ".ci/run", *sorted(str(p) for p in (ROOT / "tools").glob("*.sh"))])
    yield Job("python scripts", [python, "tools/compile_all.py"])
    for kind, folder in (("unit", release), ("asan unit", asan)):
        for test in sorted([*folder.glob("test_*"), *(folder / "bench").glob("test_*")]):
            if os.access(test, os.X_OK) and test.is_file():
                yield Job(f"{kind} {test.name[5:]}", [test, "--duration=true", "--no-colors=true"])
    yield Job("tsan unit journal", [tsan / "test_journal", "--duration=true", "--no-colors=true"], timeout=600)
    for target in sorted(asan.glob("fuzz_*")):
        if os.access(target, os.X_OK) and target.is_file():
            corpus = ROOT / "build/fuzz" / target.name
            corpus.mkdir(parents=True, exist_ok=True)
            yield Job(f"fuzz {target.name[5:]}", [target, corpus, f"-max_total_time={fuzz_seconds}", "-max_len=4096", "-timeout=10",
                                                  "-rss_limit_mb=2048", f"-artifact_prefix={corpus}/"], timeout=fuzz_seconds + 120)
    yield Job("e2e", [python, "tests/run.py", "--durations", "20"], timeout=900, alone=True, HAECHI_BINARY=str(release / "haechi"))
    yield Job("e2e smoke asan", [python, "tests/run.py", "-j", "4", "smoke"], timeout=600, alone=True, HAECHI_BINARY=str(asan / "haechi"), HAECHI_TEST_SLOW="5")
    postgres = [python, "tools/private_postgres.py", "run", "--"]
    for module in ("store", "journal", "blob"):
        for kind, folder in (("unit", release), ("asan unit", asan)):
            yield Job(f"{kind} {module} on postgresql", [*postgres, folder / f"test_{module}", "--duration=true", "--no-colors=true"])
    yield Job("e2e on postgresql", [*postgres, python, "tests/run.py", "--durations", "20"], timeout=900, alone=True, HAECHI_BINARY=str(release / "haechi"))
    yield Job("e2e on two nodes", [*postgres, python, "tests/run.py", "-j", "4", "--durations", "20"], timeout=900, alone=True,
              HAECHI_BINARY=str(release / "haechi"), HAECHI_TEST_NODES="2")
    yield Job("e2e smoke asan on two nodes", [*postgres, python, "tests/run.py", "-j", "3", "smoke"], timeout=600, alone=True,
              HAECHI_BINARY=str(asan / "haechi"), HAECHI_TEST_SLOW="5", HAECHI_TEST_NODES="2")
    yield Job("client matrix-js-sdk", [python, "tests/clients/with_server.py", "js"], timeout=240, alone=True, HAECHI_BINARY=str(release / "haechi"))
    yield Job("client matrix-nio", [python, "tests/clients/with_server.py", "nio"], timeout=240, alone=True, HAECHI_BINARY=str(release / "haechi"))
    yield Job("durability kill -9", [python, "tests/durability/kill9.py"], timeout=400, alone=True, HAECHI_BINARY=str(release / "haechi"))
    yield Job("durability kill -9 of one of three nodes", [*postgres, python, "tests/durability/kill9.py", "--rounds", "8", "--seconds", "10"], timeout=400, alone=True,
              HAECHI_BINARY=str(release / "haechi"), HAECHI_TEST_NODES="3")
    yield Job("durability backup and restore", [python, "tests/durability/backup.py"], timeout=300, alone=True, HAECHI_BINARY=str(release / "haechi"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="jobs whose name contains one of these")
    parser.add_argument("--fuzz-seconds", type=int, default=10)
    parser.add_argument("--since", type=float, default=0, help="seconds already spent, for the total")
    args = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    todo = [j for j in jobs(args.fuzz_seconds) if not args.only or any(w in j.name for w in args.only)]
    if not todo:
        print("no test matches")
        return 2
    began, lock, done = time.monotonic(), threading.Lock(), 0

    def run(job):
        nonlocal done
        text = job.run()
        with lock:
            done += 1
            mark = "FAIL" if job.failed else "ok"
            print(f"[{done}/{len(todo)}] {mark:4} {job.name}: {job.passed} passed, {job.failed} failed, {job.seconds:.1f} s", flush=True)
            if job.failed:
                print("\n".join("      " + line for line in text.splitlines()[-60:]), flush=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, [j for j in todo if not j.alone]))
    # The others time things, or use the whole machine.
    for job in todo:
        if job.alone:
            run(job)

    slowest = sorted((s for j in todo for s in j.slowest), reverse=True)[:10]
    print("\nslowest tests:")
    for seconds, name in slowest:
        print(f"  {seconds:7.2f} s  {name}")
    failed = [j.name for j in todo if j.failed]
    if failed:
        print(f"failed: {', '.join(failed)} (logs in build/logs)")
    print(f"{time.monotonic() - began + args.since:.0f} s in all")
    print(f"{sum(j.passed for j in todo)} passed, {sum(j.failed for j in todo)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
