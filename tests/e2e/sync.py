"""/sync: first, incremental, gappy, filtered, waiting."""

import json
import time

from harness import (SLOW, Later, bodies, check, ephemeral, find, ids, in_parallel, joined, ok, quote, refused, room_state, same,
                     timeline, unique)

SMOKE = ["test_first_sync", "test_a_message_wakes_a_waiting_sync", "test_a_gap_is_told_and_can_be_filled"]

LAZY = {"room": {"state": {"lazy_load_members": True}}}


def limit(n, **timeline_filter):
    return {"room": {"timeline": {"limit": n, **timeline_filter}}}


def test_first_sync(server):
    u = server.register()
    room = u.create_room(name="A")
    u.send(room, "hi")
    r = u.sync()
    part = joined(r, room)
    same(bodies(part["timeline"]["events"]), ["hi"])
    everything = {(e["type"], e.get("state_key")) for e in part["state"]["events"] + part["timeline"]["events"]}
    for kind, key in (("m.room.create", ""), ("m.room.member", u.id), ("m.room.name", ""), ("m.room.power_levels", "")):
        check((kind, key) in everything, f"{kind} is in the first sync")
    check(isinstance(r["next_batch"], str))
    check(find(r["account_data"]["events"], type="m.push_rules"), "push rules are account data")
    check("device_one_time_keys_count" in r)
    for e in part["timeline"]["events"]:
        check("room_id" not in e, "events of a sync carry no room_id")
    same(part["summary"].get("m.joined_member_count", 1), 1)


def test_first_sync_state_is_at_the_start_of_the_timeline(server):
    u = server.register()
    room = u.create_room()
    u.state(room, "m.room.topic", {"topic": "old"})
    for n in range(5):
        u.send(room, f"{n}")
    u.state(room, "m.room.topic", {"topic": "new"})
    part = joined(u.sync(filter=limit(3)), room)
    same(find(part["state"]["events"], type="m.room.topic")["content"]["topic"], "old")
    same(find(part["timeline"]["events"], type="m.room.topic")["content"]["topic"], "new")
    same(part["timeline"]["limited"], True)
    check(part["timeline"]["prev_batch"])


def test_nothing_new_is_an_empty_answer(server):
    u = server.register()
    room = u.create_room()
    u.sync()
    u.sync()
    r = u.sync()
    check(not joined(r, room), f"{r}")
    same(r.get("to_device", {}).get("events", []), [])


def test_incremental(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.sync()
    e = u.send(room, "one")
    part = joined(v.sync(), room)
    same(ids(part["timeline"]["events"]), [e])
    check(not part["timeline"].get("limited"))
    same(part.get("state", {}).get("events", []), [], "no state again")


def test_a_repeated_since_gives_the_same(server):
    u = server.register()
    room = u.create_room()
    u.sync()
    sent = [u.send(room, str(n)) for n in range(3)]
    for _ in range(3):
        same(ids(timeline(u.sync(since=u.since), room)), sent)


def test_state_in_the_timeline_is_not_given_twice(server):
    u = server.register()
    room = u.create_room()
    u.sync()
    u.state(room, "m.room.name", {"name": "x"})
    part = joined(u.sync(), room)
    same([e["type"] for e in part["timeline"]["events"]], ["m.room.name"])
    check(not find(part.get("state", {}).get("events", []), type="m.room.name"))


def test_a_gap_is_told_and_can_be_filled(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.sync()
    u.state(room, "m.room.topic", {"topic": "in the gap"})
    for n in range(20):
        u.send(room, f"{n}")
    u.state(room, "m.room.name", {"name": "at the end"})
    part = joined(v.sync(since=v.since, filter=limit(5)), room)
    same(part["timeline"]["limited"], True)
    same(len(part["timeline"]["events"]), 5)
    same(find(part["state"]["events"], type="m.room.topic")["content"]["topic"], "in the gap")
    check(not find(part["state"]["events"], type="m.room.name"), "state is up to the start of the timeline")
    check(not find(part["state"]["events"], type="m.room.create"), "what did not change is not repeated")
    gap = v.messages(room, dir="b", limit=100, to=v.since, **{"from": part["timeline"]["prev_batch"]})["chunk"]
    same(bodies(gap), [str(n) for n in range(15, -1, -1)])


def test_state_after(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.sync()
    u.state(room, "m.room.topic", {"topic": "gap"})
    for n in range(10):
        u.send(room, str(n))
    u.state(room, "m.room.name", {"name": "end"})
    for ask, key in (("use_state_after", "state_after"), ("org.matrix.msc4222.use_state_after", "org.matrix.msc4222.state_after")):
        part = joined(v.sync(since=v.since, filter=limit(3), **{ask: "true"}), room)
        after = {e["type"]: e["content"] for e in part[key]["events"]}
        same(after["m.room.topic"], {"topic": "gap"} if "m.topic" not in after["m.room.topic"] else after["m.room.topic"])
        same(after["m.room.name"], {"name": "end"}, "state_after reaches the end of the timeline")
        check("state" not in part, "state is left out")
    first = joined(server_first(v, use_state_after="true"), room)
    check(find(first["state_after"]["events"], type="m.room.create"), "full state at the end on a first sync")
    check("state" in joined(v.sync(since=v.since, filter=limit(3)), room), "without asking, as ever")


def server_first(user, **query):
    """A first sync that does not move the user."""
    return user.get("sync", timeout=0, **query)


def test_full_state(server):
    u = server.register()
    room = u.create_room()
    u.sync()
    part = joined(u.sync(since=u.since, full_state="true"), room)
    check(find(part["state"]["events"], type="m.room.create"), "full state although nothing changed")


def test_a_message_wakes_a_waiting_sync(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.sync()
    v.sync()
    waiting = Later(lambda: v.sync(timeout=20000))
    check(not waiting.thread.join(0.2) and waiting.thread.is_alive(), "it waits")
    e = u.send(room, "wake")
    same(ids(timeline(waiting.value(), room)), [e])
    check(waiting.seconds < 5 * SLOW, f"woken after {waiting.seconds} s")


def test_the_timeout_is_exact(server):
    u = server.register()
    u.sync()
    u.sync()
    start = time.monotonic()
    r = u.sync(timeout=700)
    took = time.monotonic() - start
    check(0.69 <= took < 1.5 * SLOW, f"a timeout of 700 ms took {took:.3f} s")
    check(r["next_batch"])
    start = time.monotonic()
    u.sync(timeout=0)
    check(time.monotonic() - start < 0.6 * SLOW, "timeout=0 answers at once")


def test_a_first_sync_never_waits(server):
    u = server.register()
    start = time.monotonic()
    u.sync(timeout=20000)
    check(time.monotonic() - start < 5 * SLOW)


def test_every_stream_wakes(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    e = u.send(room, "x")
    for what, act in (
            ("receipt", lambda: u.receipt(room, e)),
            ("typing", lambda: u.put(f"rooms/{quote(room)}/typing/{quote(u.id)}", {"typing": True, "timeout": 5000})),
            ("account data", lambda: v.put(f"user/{quote(v.id)}/account_data/org.example.a", {"a": 1})),
            ("room account data", lambda: v.put(f"user/{quote(v.id)}/rooms/{quote(room)}/account_data/org.example.b", {"b": 1})),
            ("to-device", lambda: u.put(f"sendToDevice/org.example.t/{unique()}", {"messages": {v.id: {v.device: {"t": 1}}}})),
            ("invite", lambda: u.create_room(invite=[v.id]))):
        v.sync()
        v.sync()
        waiting = Later(lambda: v.sync(timeout=20000))
        waiting.thread.join(0.1)
        act()
        waiting.value()
        check(waiting.seconds < 8 * SLOW, f"{what} woke after {waiting.seconds:.1f} s")


def test_joining_shows_the_whole_room(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", name="There")
    u.send(room, "before")
    v.sync()
    v.join(room)
    part = v.sync_until(lambda r: joined(r, room))
    events = part["state"]["events"] + part["timeline"]["events"]
    check(find(events, type="m.room.create") and find(events, type="m.room.name"), "state of the new room")
    check(find(events, type="m.room.member", state_key=v.id), "one's own join")
    check(find(events, type="m.room.member", state_key=u.id))


def test_leaving_moves_the_room(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.sync()
    u.send(room, "seen")
    v.leave(room)
    u.send(room, "unseen")
    r = v.sync()
    check(not joined(r, room))
    events = r["rooms"]["leave"][room]["timeline"]["events"]
    same(bodies(events), ["seen"])
    check(find(events, type="m.room.member", state_key=v.id))
    check(room not in v.sync().get("rooms", {}).get("leave", {}), "told once")


def test_left_rooms_only_when_asked(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.leave(room)
    check(room not in v.sync(since=None).get("rooms", {}).get("leave", {}) if v.since else True)
    r = server_first(v)
    check(room not in r.get("rooms", {}).get("leave", {}))
    r = server_first(v, filter=json.dumps({"room": {"include_leave": True}}))
    check(room in r["rooms"]["leave"])


def test_being_banned_is_a_leave(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.sync()
    u.post(f"rooms/{quote(room)}/ban", {"user_id": v.id})
    r = v.sync()
    same(find(r["rooms"]["leave"][room]["timeline"]["events"], state_key=v.id)["content"]["membership"], "ban")


def test_leave_and_rejoin_between_syncs(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.sync()
    v.leave(room)
    u.state(room, "m.room.name", {"name": "meanwhile"})
    v.join(room)
    part = joined(v.sync(), room)
    events = part.get("state", {}).get("events", []) + part["timeline"]["events"]
    check(find(events, type="m.room.name"), "what changed while away is told")
    check(find(part["timeline"]["events"], type="m.room.member", state_key=v.id))


def test_lazy_loading_gives_only_members_who_speak(server):
    u, *others = server.users(5)
    room = u.create_room(preset="public_chat")
    for v in others:
        v.join(room)
    for n in range(12):
        others[0].send(room, str(n))
    f = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 5}}}
    part = joined(u.sync(filter=f), room)
    same({e["state_key"] for e in part["state"]["events"] if e["type"] == "m.room.member"}, {u.id, others[0].id})
    same(part["summary"]["m.joined_member_count"], 5)
    others[0].send(room, "again")
    part = joined(u.sync(filter=f), room)
    same([e["state_key"] for e in part.get("state", {}).get("events", []) if e["type"] == "m.room.member"], [], "already sent")
    others[1].send(room, "new voice")
    part = joined(u.sync(filter=f), room)
    same([e["state_key"] for e in part["state"]["events"] if e["type"] == "m.room.member"], [others[1].id])


def test_lazy_loading_can_repeat_members(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    f = {"room": {"state": {"lazy_load_members": True, "include_redundant_members": True}}}
    u.sync(filter=f)
    for text in ("a", "b"):
        v.send(room, text)
        part = joined(u.sync(filter=f), room)
        same([e["state_key"] for e in part["state"]["events"] if e["type"] == "m.room.member"], [v.id], text)


def test_summary_names_heroes(server):
    u, *others = server.users(8)
    room = u.create_room(preset="public_chat")
    for v in others[:6]:
        v.join(room)
    u.invite(room, others[6])
    summary = joined(u.sync(filter=LAZY), room)["summary"]
    same(len(summary["m.heroes"]), 5)
    check(u.id not in summary["m.heroes"], "never self")
    same((summary["m.joined_member_count"], summary["m.invited_member_count"]), (7, 1))


def test_inline_and_stored_filters_agree(server):
    u = server.register()
    room, other = u.create_room(), u.create_room()
    u.send(room, "x"), u.send(other, "y")
    definition = {"room": {"rooms": [room], "timeline": {"limit": 1}}, "presence": {"types": []}}
    stored = u.post(f"user/{quote(u.id)}/filter", definition)["filter_id"]
    check(not stored.startswith("{"))
    same(u.get(f"user/{quote(u.id)}/filter/{quote(stored)}")["room"]["rooms"], [room])
    by_id, inline = server_first(u, filter=stored), server_first(u, filter=json.dumps(definition))
    same(set(by_id["rooms"]["join"]), {room})
    same(set(inline["rooms"]["join"]), {room})
    same(len(timeline(by_id, room)), 1)


def test_filter_errors(server):
    u, v = server.users(2)
    stored = u.post(f"user/{quote(u.id)}/filter", {})["filter_id"]
    refused(v.call("GET", f"user/{quote(u.id)}/filter/{stored}"), (403, 404))
    refused(v.call("POST", f"user/{quote(u.id)}/filter", {}), 403, "M_FORBIDDEN")
    refused(u.call("GET", f"user/{quote(u.id)}/filter/999999"), 404, "M_NOT_FOUND")
    refused(u.call("GET", "sync", query={"filter": "{bad json"}), 400, ("M_NOT_JSON", "M_BAD_JSON", "M_INVALID_PARAM"))
    refused(u.call("GET", "sync", query={"filter": "no-such-id"}), (400, 404))
    refused(u.call("GET", "sync", query={"since": "nonsense"}), 400)
    refused(u.call("GET", "sync", query={"timeout": "x"}), 400)
    for bad in ({"room": 5}, {"room": {"timeline": {"limit": "x"}}}, {"room": {"rooms": "x"}}, {"room": {"rooms": ["bad"]}},
                {"presence": {"senders": ["bad"]}}, {"room": {"state": {"types": [1]}}}):
        refused(u.call("POST", f"user/{quote(u.id)}/filter", bad), 400)


def test_timeline_filters(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    u.send(room, "a"), v.send(room, "b"), u.send(room, {"q": 1}, kind="org.example.q")
    part = timeline(server_first(u, filter=json.dumps(limit(10, types=["m.room.message"]))), room)
    same(bodies(part), ["a", "b"])
    part = timeline(server_first(u, filter=json.dumps(limit(10, types=["m.room.message"], senders=[v.id]))), room)
    same(bodies(part), ["b"])
    part = timeline(server_first(u, filter=json.dumps(limit(10, not_types=["m.room.*"]))), room)
    same([e["type"] for e in part], ["org.example.q"])
    r = server_first(u, filter=json.dumps({"room": {"not_rooms": [room]}}))
    check(not joined(r, room))
    r = server_first(u, filter=json.dumps({"room": {"state": {"types": ["m.room.create"]}, "timeline": {"limit": 1}}}))
    same([e["type"] for e in room_state(r, room)], ["m.room.create"])


def test_event_fields(server):
    u = server.register()
    room = u.create_room()
    u.send(room, {"msgtype": "m.text", "body": "b", "extra": 1})
    r = server_first(u, filter=json.dumps({"event_fields": ["type", "content.body"], **limit(1)}))
    e = timeline(r, room)[0]
    same(e["content"], {"body": "b"})
    check("sender" not in e, f"{e}")


def test_account_data_comes_once(server):
    u = server.register()
    room = u.create_room()
    u.sync()
    u.put(f"user/{quote(u.id)}/account_data/org.example.g", {"g": 1})
    u.put(f"user/{quote(u.id)}/rooms/{quote(room)}/account_data/org.example.r", {"r": 1})
    r = u.sync()
    same(find(r["account_data"]["events"], type="org.example.g")["content"], {"g": 1})
    same(find(joined(r, room)["account_data"]["events"], type="org.example.r")["content"], {"r": 1})
    r = u.sync()
    same(r.get("account_data", {}).get("events", []), [])
    first = server_first(u)
    check(find(first["account_data"]["events"], type="org.example.g"))
    check(find(joined(first, room)["account_data"]["events"], type="org.example.r"))


def test_a_limit_of_zero(server):
    u = server.register()
    room = u.create_room()
    u.send(room, "x")
    r = server_first(u, filter=json.dumps(limit(0)))
    same(timeline(r, room), [])


def test_many_writers_and_one_reader_lose_nothing(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.sync()

    def writer(w):
        return lambda: [u.send(room, f"{w}-{n}", txn=f"{w}-{n}") for n in range(15)]
    reading = Later(lambda: read_all(v, room, 75))
    sent = {e for part in in_parallel([writer(w) for w in range(5)]) for e in part}
    got = reading.value()
    same(len(got), len(set(got)), "no event twice")
    same(set(got), sent)
    order = [e["event_id"] for e in u.messages(room, dir="f", limit=200)["chunk"] if e["type"] == "m.room.message"]
    same(got, order, "the order of sync and of messages agree here")


def read_all(user, room, count):
    got = []
    deadline = time.monotonic() + 30 * SLOW
    while len(got) < count and time.monotonic() < deadline:
        r = user.sync(timeout=2000, filter=limit(100))
        got += [e["event_id"] for e in timeline(r, room) if e["type"] == "m.room.message"]
    return got


def test_two_devices_have_their_own_positions(server):
    u = server.register()
    d = u.login()
    room = u.create_room()
    u.sync(), d.sync()
    e = u.send(room, "x")
    same(ids(timeline(u.sync(), room)), [e])
    same(ids(timeline(d.sync(), room)), [e])


def test_set_presence_is_accepted_and_bad_values_refused(server):
    u = server.register()
    for p in ("online", "offline", "unavailable"):
        u.get("sync", timeout=0, set_presence=p)
    refused(u.call("GET", "sync", query={"set_presence": "dancing"}), 400)


def test_new_rooms_of_a_user_have_a_prev_batch_that_pages(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    for n in range(15):
        u.send(room, str(n))
    v.sync()
    v.join(room)
    part = v.sync_until(lambda r: joined(r, room), filter=limit(4))
    older = v.messages(room, limit=100, **{"from": part["timeline"]["prev_batch"]})["chunk"]
    whole = bodies(older[::-1]) + bodies(part["timeline"]["events"])
    same(whole, [str(n) for n in range(15)])
    check(ok(v.call("GET", "joined_rooms")) and not ephemeral({}, room))


def test_events_say_what_membership_the_reader_had(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    before = u.send(room, "before")
    v.join(room)
    after = u.send(room, "after")
    events = timeline(v.sync(filter={"room": {"timeline": {"limit": 50}}}), room)
    same(find(events, event_id=before)["unsigned"]["membership"], "leave")
    same(find(events, event_id=after)["unsigned"]["membership"], "join")
