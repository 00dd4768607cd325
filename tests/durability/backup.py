#!/usr/bin/env python3
"""Backs up a server under load, wipes it, restores from the backup alone, and compares.

One machine: `haechi backup` of a data folder. A cluster: pgBackRest through `haechi backup`, with a PostgreSQL of the
test's own and its repository in a folder, restored to a point in time. What was acknowledged before a backup began is in it,
whole, once and in order, and so is what it refers to.

usage: tests/durability/backup.py [--seconds S] [--only sqlite|cluster]
"""

import argparse
import contextlib
import os
import pwd
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.dont_write_bytecode = True

import harness  # noqa: E402
from harness import BINARY, Server, check, ok, same  # noqa: E402

V1 = "/_matrix/client/v1/media/"
SENDERS, ROOMS = 6, 3


class Load:
    """Users who write into rooms and upload; remembers what was acknowledged, in order for each writer."""

    def __init__(self, server):
        self.server = server
        self.users = server.users(SENDERS)
        self.rooms = [self.users[0].create_room(preset="public_chat") for _ in range(ROOMS)]
        for room in self.rooms:
            for u in self.users[1:]:
                u.join(room)
        self.sent = {}  # (user, room): event ids
        self.media = {}  # media id: bytes
        self.lock, self.over, self.errors = threading.Lock(), threading.Event(), []
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(SENDERS)]

    def work(self, index):
        try:
            user, dice, n = self.users[index], random.Random(index), 0
            while not self.over.is_set():
                n += 1
                if n % 10 == 0:
                    data = dice.randbytes(dice.choice((10, 3000, 400_000)))
                    r = ok(user.call("POST", "/_matrix/media/v3/upload", data, headers={"Content-Type": "text/plain"}))
                    with self.lock:
                        self.media[r["content_uri"][6:]] = data
                else:
                    room = self.rooms[n % ROOMS]
                    event = user.send(room, f"{index} {n}")
                    with self.lock:
                        self.sent.setdefault((user.id, room), []).append(event)
        except Exception as e:
            self.errors.append(e)

    def start(self):
        for t in self.threads:
            t.start()

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join()
        if self.errors:
            raise self.errors[0]

    def acknowledged(self):
        with self.lock:
            return {k: list(v) for k, v in self.sent.items()}, dict(self.media)


def everything(user, rooms):
    """All events of the rooms, as a reader gets them."""
    out = {}
    for room in rooms:
        events, start = [], None
        while True:
            page = user.messages(room, dir="b", limit=500, **({"from": start} if start else {}))
            events += page["chunk"]
            start = page.get("end")
            if not start or not page["chunk"]:
                break
        out[room] = [{k: v for k, v in e.items() if k != "unsigned"} for e in reversed(events)]
        same(len({e["event_id"] for e in events}), len(events), "events that are there twice")
    return out


def compare(load, sent, media, server):
    """All of this is there, in order; other things may be."""
    reader = harness.User(server, load.users[0].id, load.users[0].token, load.users[0].device)
    rooms = everything(reader, load.rooms)
    for (user, room), ids in sent.items():
        there = [e["event_id"] for e in rooms[room] if e["sender"] == user]
        wanted = set(ids)
        same([e for e in there if e in wanted], ids, f"the messages of {user} in {room}")
    for where, data in media.items():
        r = reader.call("GET", V1 + "download/" + where)
        same((r.status, r.body == data), (200, True), "media " + where)
    return rooms


def backup(*arguments, code=0, user=None, binary=BINARY):
    command = [str(binary), "backup", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, **(user or {}))
    same(done.returncode, code, f"the exit of {' '.join(command[1:4])}\n{done.stdout}{done.stderr[-2000:]}")
    if code:
        check(done.stderr.startswith("haechi: ") and done.stderr.count("\n") == 1, f"one clear line, not {done.stderr!r}")
    return done.stdout + done.stderr


def one_machine(seconds, folder):
    target = folder / "backups"
    with Server(nodes=1) as server:
        load = Load(server)
        load.start()
        time.sleep(seconds / 2)
        sent, media = load.acknowledged()
        check(sent and media, f"no load: {load.errors}")
        backup("create", "--data", server.data, "--to", target)
        time.sleep(seconds / 2 + 1.1)  # ids name the second
        load.stop()
        all_sent, all_media = load.acknowledged()
        backup("create", "--data", server.data, "--to", target)
        before = compare(load, all_sent, all_media, server)
        same(len(backup("list", "--from", target).splitlines()), 2, "backups")
        backup("verify", "--from", target)
        backup("create", "--data", server.data, "--to", Path(server.data) / "inside", code=1)
        backup("restore", "--from", target, "--data", server.data, code=1)  # not empty
        data = server.data
    check(not os.path.exists(data), "the data folder is wiped")

    # The newest, from the backup alone.
    restored = str(folder / "restored")
    backup("restore", "--from", target, "--data", restored)
    with Server(data=restored, nodes=1) as server:
        same(compare(load, all_sent, all_media, server), before, "all events")
        u = harness.User(server, load.users[0].id, load.users[0].token, load.users[0].device)
        u.send(load.rooms[0], "and on it goes")

    # The one that was made under load.
    first = sorted(p.name for p in target.iterdir() if p.name.endswith("Z"))[0]
    earlier = str(folder / "earlier")
    backup("restore", "--from", target, "--id", first, "--data", earlier)
    with Server(data=earlier, nodes=1) as server:
        compare(load, sent, media, server)

    # What is damaged is told, and nothing is left of the attempt.
    some = next(p for p in (target / "media").glob("*/*"))
    good = some.read_bytes()
    some.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    check("damaged" in backup("verify", "--from", target, code=1))
    backup("restore", "--from", target, "--data", folder / "bad", code=1)
    check(not (folder / "bad").exists())
    some.write_bytes(good)
    database = target / first / "haechi.db"
    with open(database, "r+b") as f:
        f.seek(5000)
        f.write(b"xxxx")
    check("damaged" in backup("verify", "--from", target, "--id", first, code=1))
    backup("restore", "--from", target, "--id", first, "--data", folder / "bad", code=1)
    check(not (folder / "bad").exists())
    backup("verify", "--from", folder / "nothing", code=1)
    backup("verify", "--from", target, "--id", "20200101T000000Z", code=1)
    print(f"one machine: {sum(map(len, all_sent.values()))} messages and {len(all_media)} media came back")


class Postgres:
    """A PostgreSQL whose log goes to a pgBackRest repository."""

    def __init__(self, folder):
        account = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.user = {"user": account.pw_uid, "group": account.pw_gid,
                     "extra_groups": []} if os.geteuid() == 0 else {}
        self.bin = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
        self.folder, self.port, self.process = folder, harness.free_port(), None
        os.chmod(folder, 0o755)
        for name in ("data", "repo", "run", "log", "spool", "lock"):
            (folder / name).mkdir(mode=0o700)
            os.chown(folder / name, account.pw_uid, account.pw_gid)
        self.config = folder / "pgbackrest.conf"
        self.config.write_text(f"""[global]
repo1-path={folder}/repo
repo1-retention-full=2
log-path={folder}/log
lock-path={folder}/lock
log-level-file=off
start-fast=y
archive-timeout=20
[haechi]
pg1-path={folder}/data
pg1-port={self.port}
pg1-socket-path={folder}/run
pg1-user=postgres
""")
        self.run([self.bin / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8",
                  "--locale=C.UTF-8", "--data-checksums", "--no-instructions"])

    def run(self, command, code=0):
        done = subprocess.run([str(c) for c in command], cwd=self.folder, capture_output=True, text=True, **self.user)
        same(done.returncode, code, f"{command[0]}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout

    def pgbackrest(self, *arguments):
        return self.run(["pgbackrest", f"--config={self.config}", "--stanza=haechi", "--log-level-console=warn", *arguments])

    def sql(self, text):
        return self.run(["psql", "-XAtq", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-d", "postgres", "-c", text]).strip()

    def start(self):
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder / "run",
                    "archive_mode": "on", "wal_level": "replica", "max_connections": 60,
                    "archive_command": f"pgbackrest --config={self.config} --stanza=haechi archive-push %p"}
        command = [self.bin / "postgres", "-D", self.folder / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = open(self.folder / "server.log", "ab")
        self.process = subprocess.Popen([str(c) for c in command], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=log, **self.user)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            check(self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:])
            # Recovery to a point in time is over once it can write.
            done = subprocess.run(["psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres",
                                   "-c", "SELECT pg_is_in_recovery()"], capture_output=True, text=True)
            if done.stdout.strip() == "f":
                return
            time.sleep(0.1)
        raise AssertionError("PostgreSQL did not start")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(2)
            self.process.wait(60)


def cluster(seconds, folder):
    if not shutil.which("pgbackrest"):
        print("cluster: pgbackrest is not installed, so this part is left out")
        return
    postgres = Postgres(folder)
    own = shutil.copy(BINARY, folder / "haechi")  # where PostgreSQL's user may read it
    os.chmod(own, 0o755)
    as_postgres = {"user": {**postgres.user, "cwd": str(folder)}, "binary": own}
    config = f"""
[store]
engine = "postgresql"
hosts = ["127.0.0.1:{postgres.port}"]
database = "haechi"
user = "postgres"
"""
    settings = folder / "haechi.toml"
    settings.write_text("server_name = \"localhost\"\n" + config)
    ours = ["--config", settings, "--pgbackrest-config", postgres.config]
    try:
        postgres.start()
        backup("create", *ours, code=1, **as_postgres)  # there is no stanza yet
        postgres.pgbackrest("stanza-create")
        postgres.sql("CREATE DATABASE haechi")
        with Server(config=config, nodes=1) as server:
            load = Load(server)
            load.start()
            time.sleep(seconds / 2)
            backup("create", *ours, "--type", "full", **as_postgres)
            time.sleep(seconds / 2)
            load.stop()
            all_sent, all_media = load.acknowledged()
            before = compare(load, all_sent, all_media, server)
            backup("create", *ours, "--type", "diff", **as_postgres)
            point = postgres.sql("SELECT clock_timestamp()")
            # After the point in time: what an operator wants undone.
            load.users[0].send(load.rooms[0], "the mishap")
            postgres.sql("SELECT pg_switch_wal()")
        same(len(backup("list", *ours, **as_postgres).splitlines()), 2, "backups")
        backup("verify", *ours, **as_postgres)
        steps = backup("restore", *ours, "--time", point[:26] + "+00", **as_postgres)
        check("--type=time" in steps and point[:19] in steps, steps)
        backup("restore", *ours, "--time", "yesterday; rm -rf /", code=1, **as_postgres)
        postgres.stop()
        shutil.rmtree(folder / "data")
        (folder / "data").mkdir(mode=0o700)
        if postgres.user:
            os.chown(folder / "data", postgres.user["user"], postgres.user["group"])
        postgres.pgbackrest("--type=time", f"--target={point}", "--target-action=promote", "restore")
        postgres.start()
        with Server(config=config, nodes=1) as server:
            same(compare(load, all_sent, all_media, server), before, "all events, and nothing from after the point in time")
            u = harness.User(server, load.users[0].id, load.users[0].token, load.users[0].device)
            u.send(load.rooms[0], "and on it goes")
        print(f"cluster: {sum(map(len, all_sent.values()))} messages and {len(all_media)} media came back, as of {point}")
    finally:
        postgres.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", choices=["sqlite", "cluster"])
    args = parser.parse_args()
    harness.POSTGRES = {}  # each part brings its own store
    for name, part in (("sqlite", one_machine), ("cluster", cluster)):
        if args.only in (None, name):
            with contextlib.ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="haechi-backup-")))
                part(args.seconds, folder)


if __name__ == "__main__":
    main()
