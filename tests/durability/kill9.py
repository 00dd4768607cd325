#!/usr/bin/env python3
"""Kills the server with SIGKILL at random moments under load, again and again, and compares with what it had acknowledged.

Checked at the end: every acknowledged event is in /messages exactly once, in the order in which its sender got the
answers; a transaction sent again after a crash gave the same event id; every sync token ever given still leads to all
later events, none skipped; to-device messages, receipts, account data, state and media are all there.
With several nodes (HAECHI_TEST_NODES) one of them is killed at a time, and the clients go on at the others.

usage: tests/durability/kill9.py [--rounds N] [--seconds S] [--seed SEED]
"""

import argparse
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.dont_write_bytecode = True

from harness import NODES, Server, Unreachable, check, message, quote, same  # noqa: E402

CONFIG = (Path(__file__).resolve().parent.parent / "e2e" / "server.toml").read_text()
SENDERS, ROOMS = 8, 3


class Actor(threading.Thread):
    """Does one thing at a time, again and again, and knows what was acknowledged. `pending` is the request whose
    answer never came; it is sent again, unchanged, after the restart."""

    def __init__(self, run, index):
        super().__init__(daemon=True)
        self.run_, self.index, self.random = run, index, random.Random(f"{run.seed}/{index}")
        self.user = run.users[index % len(run.users)]
        self.pending, self.counter, self.retries = None, 0, 0
        self.error = None

    def request(self, method, path, body=None, headers=None):
        """One request, repeated with the same words until it is answered."""
        self.pending = path
        tries = 0
        while not self.run_.over.is_set() or tries:
            # A crashed server is given time: the main thread restarts it.
            if not self.run_.up.wait(30):
                raise AssertionError("the server stayed down")
            try:
                r = self.user.call(method, path, body, headers=headers)
            except Unreachable:
                tries += 1
                self.retries += 1
                time.sleep(0.005)
                continue
            if r.status in (429, 503):
                time.sleep(0.02)
                continue
            if r.status != 200:
                raise AssertionError(f"{method} {path}: {r!r}")
            self.pending = None
            return r.json
        return None

    def run(self):
        try:
            while not self.run_.over.is_set():
                self.act()
        except Exception as e:  # told by the main thread
            self.error = e


class Sender(Actor):
    def __init__(self, run, index):
        super().__init__(run, index)
        self.acknowledged = {room: [] for room in run.rooms}  # (event id, body) in the order of the answers

    def act(self):
        self.counter += 1
        room, text, txn = self.random.choice(self.run_.rooms), f"{self.index}/{self.counter}", f"k{self.index}-{self.counter}"
        path = f"rooms/{quote(room)}/send/m.room.message/{txn}"
        r = self.request("PUT", path, message(text))
        if r is None:
            return
        self.acknowledged[room].append((r["event_id"], text))
        if self.random.random() < 0.05:  # a client that did not see the answer
            again = self.request("PUT", path, message(text))
            if again is not None:
                same(again["event_id"], r["event_id"], "event id of a repeated transaction")


class Mixed(Actor):
    """State, receipts, account data, to-device, media."""

    def __init__(self, run, index):
        super().__init__(run, index)
        self.state, self.account, self.media, self.devices, self.receipt = {}, {}, [], [], None

    def act(self):
        self.counter += 1
        n, room, u = self.counter, self.run_.rooms[0], self.user
        kind = self.random.choice(("state", "receipt", "account", "device", "device", "media"))
        if kind == "state":
            key, value = f"s{self.index}", {"n": n}
            if r := self.request("PUT", f"rooms/{quote(room)}/state/org.example.counter/{key}", value):
                self.state[key] = (value, r["event_id"])
        elif kind == "receipt":
            event = self.run_.some_event(room)
            if event and self.request("POST", f"rooms/{quote(room)}/receipt/m.read/{quote(event)}", {}) is not None:
                self.receipt = (room, event)
        elif kind == "account":
            if self.request("PUT", f"user/{quote(u.id)}/account_data/org.example.c{self.index}", {"n": n}) is not None:
                self.account[f"org.example.c{self.index}"] = {"n": n}
        elif kind == "device":
            target = self.run_.listener
            body = {"messages": {target.id: {target.device: {"from": self.index, "n": n}}}}
            if self.request("PUT", f"sendToDevice/org.example.d/d{self.index}-{n}", body) is not None:
                self.devices.append(n)
        else:
            data = f"{self.index}/{n}/".encode() * 2000
            if r := self.request("POST", "/_matrix/media/v3/upload", data, {"Content-Type": "text/plain"}):
                self.media.append((r["content_uri"][len("mxc://"):], data))


class Listener(threading.Thread):
    """Syncs all the time and remembers every token and what it had seen by then."""

    def __init__(self, run):
        super().__init__(daemon=True)
        self.run_, self.user = run, run.listener
        self.events, self.tokens, self.devices, self.error = [], [], [], None
        self.seen = set()

    def step(self, timeout):
        since = self.user.since
        r = self.user.sync(timeout=timeout, filter={"room": {"timeline": {"limit": 1000}}})
        for room, part in r.get("rooms", {}).get("join", {}).items():
            for e in with_gap(self.user, room, part["timeline"], since):
                if e["type"] == "m.room.message":
                    check(e["event_id"] not in self.seen, f"{e['event_id']} came twice in consecutive syncs")
                    self.seen.add(e["event_id"])
                    self.events.append((room, e["event_id"]))
        self.tokens.append((self.user.since, len(self.events)))
        self.devices += [(m["content"]["from"], m["content"]["n"]) for m in r.get("to_device", {}).get("events", [])]
        return r

    def run(self):
        try:
            while not self.run_.over.is_set():
                if not self.run_.up.wait(30):
                    raise AssertionError("the server stayed down")
                try:
                    self.step(200)
                except Unreachable:
                    time.sleep(0.005)
        except Exception as e:  # told by the main thread
            self.error = e


class Run:
    def __init__(self, server, seed):
        self.server, self.seed = server, seed
        self.up, self.over = threading.Event(), threading.Event()
        self.users = server.users(SENDERS)
        self.listener = server.register()
        self.rooms = [self.users[0].create_room(preset="public_chat", power_level_content_override={"state_default": 0}) for _ in range(ROOMS)]
        for room in self.rooms:
            for u in [*self.users[1:], self.listener]:
                u.join(room)
        self.listener.sync()
        self.senders = [Sender(self, n) for n in range(SENDERS)]
        self.mixed = [Mixed(self, SENDERS + n) for n in range(3)]
        self.reader = Listener(self)
        self.up.set()

    def some_event(self, room):
        known = self.senders[0].acknowledged[room]
        return known[-1][0] if known else None

    def threads(self):
        return [*self.senders, *self.mixed, self.reader]


def history(user, room):
    """Every message of the room, oldest first, paged."""
    events, token = [], None
    while True:
        r = user.messages(room, dir="f", limit=500, **({"from": token} if token else {}))
        events += r["chunk"]
        token = r.get("end")
        if not token:
            return [e for e in events if e["type"] == "m.room.message"]


def with_gap(user, room, timeline, since):
    """The events of a timeline, and before them what a limited one left out since `since`."""
    if not timeline.get("limited") or not since:
        return timeline["events"]
    gap, token = [], timeline["prev_batch"]
    while token:
        page = user.messages(room, dir="b", limit=500, to=since, **{"from": token})
        gap += page["chunk"]
        token = page.get("end") if page["chunk"] else None
    return gap[::-1] + timeline["events"]


def from_token(user, since, rooms):
    """All messages after a sync token, by syncing on and filling gaps."""
    got = {room: [] for room in rooms}
    while True:
        r = user.get("sync", since=since, timeout=0, filter='{"room":{"timeline":{"limit":1000}}}')
        empty = True
        for room, part in r.get("rooms", {}).get("join", {}).items():
            events = with_gap(user, room, part["timeline"], since)
            empty = empty and not events
            got[room] += [e["event_id"] for e in events if e["type"] == "m.room.message"]
        if empty:
            return got
        since = r["next_batch"]


def same_events(got, wanted, what):
    """As `same`, for long lists: says what is missing, twice or elsewhere."""
    if got == wanted:
        return
    place = {e: n for n, e in enumerate(wanted)}
    missing = [place[e] for e in wanted if e not in set(got)]
    twice = len(got) - len(set(got))
    strange = [e for e in got if e not in place]
    back = [(place[a], place[b]) for a, b in zip(got, got[1:]) if a in place and b in place and place[b] <= place[a]]
    raise AssertionError(f"{what}: {len(got)} of {len(wanted)}; missing at {missing[:20]} ({len(missing)}), twice {twice}, "
                         f"unknown {strange[:5]}, steps back {back[:10]} ({len(back)})")


def verify(run):
    reader, counted = run.reader, 0
    order = {}
    for room in run.rooms:
        events = history(run.listener, room)
        order[room] = [e["event_id"] for e in events]
        same(len(order[room]), len(set(order[room])), f"events of {room}, each once")
        place = {e["event_id"]: (n, e["content"]["body"]) for n, e in enumerate(events)}
        texts = [e["content"]["body"] for e in events]
        same(len(texts), len(set(texts)), "no message twice under two ids")
        for sender in run.senders:
            last = -1
            for event, text in sender.acknowledged[room]:
                check(event in place, f"{event} ({text}) was acknowledged and is lost")
                at, stored = place[event]
                same(stored, text, f"text of {event}")
                check(at > last, f"{event} ({text}) is out of its sender's order")
                last = at
                counted += 1
    # The reader saw all of it, in order, across all crashes.
    while True:
        before = len(reader.events), len(reader.devices)
        reader.step(0)
        if (len(reader.events), len(reader.devices)) == before:
            break
    for room in run.rooms:
        same_events([e for r, e in reader.events if r == room], order[room], f"what the syncs gave of {room}")
    # Old tokens still lead to everything after them.
    tokens = reader.tokens
    chosen = {0, len(tokens) - 1, *random.Random(run.seed).sample(range(len(tokens)), min(25, len(tokens)))}
    for n in sorted(chosen):
        since, seen = tokens[n]
        got = from_token(run.listener, since, run.rooms)
        for room in run.rooms:
            later = [e for r, e in reader.events[seen:] if r == room]
            same(got[room], later, f"what follows token {n} of {len(tokens)} in {room}")
    for m in run.mixed:
        for key, (value, _) in m.state.items():
            same(run.listener.get_state(run.rooms[0], "org.example.counter", key), value, f"state {key}")
        for kind, value in m.account.items():
            same(m.user.get(f"user/{quote(m.user.id)}/account_data/{kind}"), value, f"account data {kind}")
        for where, data in m.media:
            r = m.user.call("GET", f"/_matrix/client/v1/media/download/{where}")
            check(r.status == 200 and r.body == data, f"media {where}: {r.status}")
        if m.receipt:
            room, event = m.receipt
            shown = [e["content"] for e in run.listener.get("sync", timeout=0)["rooms"]["join"][room]["ephemeral"]["events"] if e["type"] == "m.receipt"]
            check(any(m.user.id in c.get(event, {}).get("m.read", {}) for c in shown), f"the receipt of {m.user.id} at {event}")
        mine = [n for index, n in reader.devices if index == m.index]
        unique_in_order = list(dict.fromkeys(mine))
        missing = set(m.devices) - set(mine)
        check(not missing, f"to-device messages {sorted(missing)[:5]} are lost")
        same(unique_in_order, sorted(unique_in_order), "to-device messages in order")
        same(len(mine), len(unique_in_order), "to-device messages once")
    return counted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=45, help="of load, over all rounds")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    chance = random.Random(args.seed)
    server = Server(config=CONFIG)
    failed = True
    try:
        server.start()
        run = Run(server, args.seed)
        for t in run.threads():
            t.start()
        for n in range(args.rounds):
            time.sleep(chance.uniform(0.1, 2 * args.seconds / args.rounds - 0.1))
            start = time.monotonic()
            if NODES > 1:
                server.restart_node(chance.randrange(NODES))
            else:
                run.up.clear()
                server.kill()
                start = time.monotonic()
                server.start()
                run.up.set()
            done = sum(len(a) for s in run.senders for a in s.acknowledged.values())
            print(f"  round {n + 1}/{args.rounds}: {done} acknowledged, back after {time.monotonic() - start:.2f} s", flush=True)
            for t in run.threads():
                if t.error:
                    raise t.error
        time.sleep(0.5)
        run.over.set()
        for t in run.threads():
            t.join(60)
            check(not t.is_alive(), f"{t} did not end")
            if t.error:
                raise t.error
        count = verify(run)
        retries = sum(t.retries for t in [*run.senders, *run.mixed])
        failed = False
        print(f"{args.rounds} kills: {count} acknowledged events, {sum(len(m.devices) for m in run.mixed)} to-device messages, "
              f"{sum(len(m.media) for m in run.mixed)} uploads, {len(run.reader.tokens)} tokens; {retries} requests sent again; nothing lost, nothing twice")
    except AssertionError as e:
        print(f"FAILED (seed {args.seed}): {e}\n--- server log ---\n{server.log_tail(20)}")
    finally:
        server.kill()
        if not failed:
            import shutil
            shutil.rmtree(server.data, ignore_errors=True)
        else:
            print(f"the data is kept in {server.data}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
