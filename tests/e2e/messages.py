"""Paging through history: /messages, /context, filters."""

import json

from harness import bodies, check, ids, quote, refused, same, unique

SMOKE = ["test_paging_back_reaches_the_creation"]


def filled(server, count=12, **kw):
    u = server.register()
    room = u.create_room(preset="public_chat", **kw)
    return u, room, [u.send(room, f"m{n}") for n in range(count)]


def pages(user, room, direction, start=None, **query):
    """Every event, page by page, until there is no `end`."""
    events, token, count = [], start, 0
    while True:
        r = user.messages(room, dir=direction, **({"from": token} if token else {}), **query)
        events += r["chunk"]
        count += 1
        check(count < 100, "paging does not end")
        if "end" not in r:
            return events
        check(r["end"] != token, "the token does not move")
        token = r["end"]


def test_paging_back_reaches_the_creation(server):
    u, room, sent = filled(server)
    everything = pages(u, room, "b", limit=5)
    same(everything[-1]["type"], "m.room.create")
    same([e["event_id"] for e in everything if e["type"] == "m.room.message"], sent[::-1])
    same(len(ids(everything)), len(set(ids(everything))), "no event twice")


def test_paging_forward_is_the_mirror(server):
    u, room, sent = filled(server)
    back = pages(u, room, "b", limit=4)
    forward = pages(u, room, "f", limit=3)
    same(ids(forward), ids(back)[::-1])


def test_the_order_within_a_page(server):
    u, room, _ = filled(server, 5)
    same(bodies(u.messages(room, dir="b", limit=3)["chunk"]), ["m4", "m3", "m2"])
    same(u.messages(room, dir="f", limit=1)["chunk"][0]["type"], "m.room.create")


def test_paging_from_sync(server):
    u, room, sent = filled(server)
    r = u.sync(filter={"room": {"timeline": {"limit": 3}}})
    part = r["rooms"]["join"][room]["timeline"]
    same([e["content"]["body"] for e in part["events"]], ["m9", "m10", "m11"])
    same(part["limited"], True)
    older = u.messages(room, dir="b", limit=2, **{"from": part["prev_batch"]})
    same(bodies(older["chunk"]), ["m8", "m7"])
    same(older["start"], part["prev_batch"])
    newer = u.messages(room, dir="f", limit=50, **{"from": part["prev_batch"]})
    same(bodies(newer["chunk"]), ["m9", "m10", "m11"])


def test_next_batch_is_a_place_to_page_from(server):
    u, room, sent = filled(server, 3)
    u.sync()
    u.send(room, "later")
    same(bodies(u.messages(room, dir="f", **{"from": u.since})["chunk"]), ["later"])
    same(bodies(u.messages(room, dir="b", limit=2, **{"from": u.since})["chunk"]), ["m2", "m1"])


def test_to_ends_the_page(server):
    u, room, _ = filled(server, 3)
    u.sync()
    for n in range(4):
        u.send(room, f"n{n}")
    end = u.sync(since=u.since)["next_batch"]
    r = u.messages(room, dir="b", limit=50, to=u.since, **{"from": end})
    same(bodies(r["chunk"]), ["n3", "n2", "n1", "n0"])


def test_end_is_left_out_at_the_end(server):
    u, room, _ = filled(server, 2)
    r = u.messages(room, dir="b", limit=100)
    check("end" not in r or u.messages(room, dir="b", **{"from": r["end"]})["chunk"] == [], f"{r}")
    check("start" in r and "chunk" in r)


def test_filters(server):
    u, room, _ = filled(server, 2)
    v = server.register()
    v.join(room)
    v.send(room, "from v")
    u.send(room, {"body": "pic", "msgtype": "m.image", "url": "mxc://localhost/x"})
    u.send(room, {"x": 1}, kind="org.example.a")

    def only(**f):
        return u.messages(room, limit=50, filter=json.dumps(f))["chunk"]
    same({e["type"] for e in only(types=["m.room.message"])}, {"m.room.message"})
    check("m.room.message" not in {e["type"] for e in only(not_types=["m.room.message"])})
    same({e["type"] for e in only(types=["org.example.*"])}, {"org.example.a"})
    same({e["sender"] for e in only(senders=[v.id])}, {v.id})
    check(v.id not in {e["sender"] for e in only(not_senders=[v.id])})
    same([e["content"]["msgtype"] for e in only(contains_url=True)], ["m.image"])
    check("m.image" not in [e["content"].get("msgtype") for e in only(contains_url=False)])
    same(only(not_rooms=[room]), [])
    same(only(types=[]), [])
    same(len(only(limit=2)), 2)


def test_a_filter_that_matches_little_still_pages_on(server):
    u, room, _ = filled(server, 3)
    u.send(room, {"x": 1}, kind="org.example.rare")
    for n in range(20):
        u.send(room, f"noise {n}")
    events = pages(u, room, "b", limit=5, filter=json.dumps({"types": ["org.example.rare"]}))
    same([e["type"] for e in events], ["org.example.rare"])


def test_lazy_loaded_members(server):
    u, room, _ = filled(server, 1)
    others = server.users(3)
    for x in others:
        x.join(room)
    others[0].send(room, "hi")
    r = u.messages(room, limit=1, filter=json.dumps({"lazy_load_members": True}))
    same({(e["type"], e["state_key"]) for e in r.get("state", [])}, {("m.room.member", others[0].id)})


def test_errors(server):
    u, room, _ = filled(server, 1)
    v = server.register()
    path = f"rooms/{quote(room)}/messages"
    refused(u.call("GET", path), 400, ("M_MISSING_PARAM", "M_INVALID_PARAM"))
    refused(u.call("GET", path, query={"dir": "x"}), 400)
    refused(u.call("GET", path, query={"dir": "b", "from": "not a token"}), 400)
    refused(u.call("GET", path, query={"dir": "b", "limit": "x"}), 400)
    refused(u.call("GET", path, query={"dir": "b", "filter": "{bad"}), 400)
    refused(u.call("GET", f"rooms/{quote('!none:localhost')}/messages?dir=b"), (403, 404))
    private = u.create_room()
    refused(v.call("GET", f"rooms/{quote(private)}/messages?dir=b"), 403, "M_FORBIDDEN")
    check(len(u.messages(room, limit=100000)["chunk"]) > 0, "a huge limit is cut, not refused")


def test_context(server):
    u, room, sent = filled(server, 11)
    r = u.get(f"rooms/{quote(room)}/context/{quote(sent[5])}", limit=4)
    same(r["event"]["event_id"], sent[5])
    same(bodies(r["events_before"]), ["m4", "m3"])
    same(bodies(r["events_after"]), ["m6", "m7"])
    same(bodies(u.messages(room, dir="b", limit=2, **{"from": r["start"]})["chunk"]), ["m2", "m1"])
    same(bodies(u.messages(room, dir="f", limit=2, **{"from": r["end"]})["chunk"]), ["m8", "m9"])
    check(any(e["type"] == "m.room.create" for e in r["state"]), "state at the last event")


def test_context_limit_zero_and_ends(server):
    u, room, sent = filled(server, 3)
    r = u.get(f"rooms/{quote(room)}/context/{quote(sent[1])}", limit=0)
    same((r.get("events_before", []), r.get("events_after", [])), ([], []))
    r = u.get(f"rooms/{quote(room)}/context/{quote(sent[-1])}", limit=100)
    same(r["events_after"], [])
    same(r["events_before"][-1]["type"], "m.room.create")


def test_context_state_is_of_then(server):
    u = server.register()
    room = u.create_room(name="Then")
    e = u.send(room, "x")
    u.state(room, "m.room.name", {"name": "Now"})
    r = u.get(f"rooms/{quote(room)}/context/{quote(e)}", limit=0)
    same([s["content"]["name"] for s in r["state"] if s["type"] == "m.room.name"], ["Then"])


def test_context_filter_and_lazy_loading(server):
    u, room, sent = filled(server, 4)
    v = server.register()
    v.join(room)
    path = f"rooms/{quote(room)}/context/{quote(sent[2])}"
    r = u.get(path, limit=4, filter=json.dumps({"types": ["m.room.message"]}))
    same({e["type"] for e in r["events_before"] + r["events_after"]}, {"m.room.message"})
    same(r["state"], [], "the filter is for the state too")
    r = u.get(path, limit=2, filter=json.dumps({"lazy_load_members": True}))
    same({s["state_key"] for s in r["state"] if s["type"] == "m.room.member"}, {u.id})


def test_context_errors(server):
    u, room, sent = filled(server, 1)
    v = server.register()
    private = u.create_room()
    e = u.send(private, "x")
    refused(v.call("GET", f"rooms/{quote(private)}/context/{quote(e)}"), (403, 404))
    refused(u.call("GET", f"rooms/{quote(room)}/context/{quote('$none')}"), 404, "M_NOT_FOUND")
    refused(u.call("GET", f"rooms/{quote(room)}/context/{quote(e)}"), 404, "M_NOT_FOUND")


def test_room_initial_sync_and_events_answer_or_say_no(server):
    u, room, _ = filled(server, 1)
    for path in (f"rooms/{quote(room)}/initialSync", "initialSync", "events?timeout=0"):
        r = u.call("GET", path)
        check(r.status in (200, 404), f"{path}: {r!r}")
        if r.status == 404:
            refused(r, 404, "M_UNRECOGNIZED")
    check(unique())
