"""Sending, reading and redacting events and state."""

import json

from harness import bodies, check, find, in_parallel, ok, quote, refused, same, timeline, unique

SMOKE = ["test_a_repeated_transaction_gives_the_same_event", "test_redaction_removes_the_content"]


def put(user, room, kind, body, txn=None):
    return user.call("PUT", f"rooms/{quote(room)}/send/{quote(kind)}/{txn or unique()}", body)


def test_a_repeated_transaction_gives_the_same_event(server):
    u = server.register()
    room = u.create_room()
    first = u.send(room, "once", txn="T1")
    same(u.send(room, "once", txn="T1"), first)
    same(u.send(room, "other text", txn="T1"), first)
    same(bodies(u.messages(room)["chunk"]), ["once"])


def test_concurrent_duplicates_have_one_effect(server):
    u = server.register()
    room = u.create_room()
    for n in range(4):
        results = in_parallel([lambda: u.send(room, f"m{n}", txn=f"C{n}") for _ in range(6)])
        same(len(set(results)), 1, "event ids of one transaction")
    same(bodies(u.messages(room)["chunk"]), ["m3", "m2", "m1", "m0"])


def test_transactions_are_scoped_to_device_and_path(server):
    u = server.register()
    other = u.login()
    room, second = u.create_room(), u.create_room()
    one = u.send(room, "a", txn="same")
    check(other.send(room, "b", txn="same") != one, "another device")
    check(u.send(second, "c", txn="same") != one, "another room")
    check(u.send(room, {"x": 1}, kind="org.example.kind", txn="same") != one, "another type")
    same(sorted(bodies(u.messages(room)["chunk"])), ["a", "b"])


def test_the_transaction_survives_a_token_refresh(server):
    u = server.register(refresh_token=True)
    room = u.create_room()
    first = u.send(room, "a", txn="r")
    u.token = ok(server.call("POST", "/_matrix/client/v3/refresh", {"refresh_token": u.refresh_token}))["access_token"]
    same(u.send(room, "a", txn="r"), first)


def test_the_transaction_id_goes_to_the_sending_device_only(server):
    u, v = server.users(2)
    other = u.login()
    room = u.create_room(preset="public_chat")
    v.join(room)
    for x in (u, v, other):
        x.sync()
    sent = u.send(room, "mine", txn="tx-visible")
    same(u.sync_event(room, sent)["unsigned"].get("transaction_id"), "tx-visible")
    for x in (v, other):
        check("transaction_id" not in x.sync_event(room, sent).get("unsigned", {}), "not for others")
    same(u.event(room, sent)["unsigned"].get("transaction_id"), "tx-visible")


def test_sending_needs_membership_and_a_room(server):
    u, v = server.users(2)
    room = u.create_room()
    refused(put(v, room, "m.room.message", {"msgtype": "m.text", "body": "x"}), 403, "M_FORBIDDEN")
    refused(put(v, "!none:localhost", "m.room.message", {"body": "x"}), (403, 404))
    refused(put(v, "nonsense", "m.room.message", {"body": "x"}), (400, 403, 404))


def test_any_json_object_is_content(server):
    u = server.register()
    room = u.create_room()
    deep = {"a": [1, -1, 0, True, None, "", "\u0000", "🔥", {"": {"b": []}}], "ключ": 9007199254740991, "n": -9007199254740991}
    e = u.send(room, deep, kind="org.example.any")
    same(u.event(room, e)["content"], deep)
    same(u.event(room, u.send(room, {}, kind="org.example.empty"))["content"], {})


def test_numbers_outside_canonical_json_are_refused(server):
    u = server.register()
    room = u.create_room()
    for bad in ("1.5", "9007199254740992", "-9007199254740992", "1e400", "1e3000", "12345678901234567890123"):
        r = put(u, room, "org.example.n", '{"n": %s}' % bad)
        refused(r, 400, ("M_BAD_JSON", "M_NOT_JSON", "M_INVALID_PARAM"))
    for bad in ("NaN", "Infinity", "01", "+1", "0x1"):
        refused(put(u, room, "org.example.n", '{"n": %s}' % bad), 400, "M_NOT_JSON")


def test_events_too_large_are_refused(server):
    u = server.register()
    room = u.create_room()
    refused(put(u, room, "m.room.message", {"msgtype": "m.text", "body": "x" * 70000}), 413, "M_TOO_LARGE")
    u.send(room, "x" * 60000)
    refused(put(u, room, "t" * 256, {}), (400, 413))
    refused(u.call("PUT", f"rooms/{quote(room)}/state/org.example.s/{'k' * 256}", {}), (400, 413))


def test_some_types_only_go_where_they_belong(server):
    u = server.register()
    room = u.create_room()
    r = u.call("PUT", f"rooms/{quote(room)}/state/m.room.create/", {"room_version": "11"})
    check(r.status in (400, 403), f"{r!r}")


def test_state_is_set_and_read(server):
    u = server.register()
    room = u.create_room()
    e = u.state(room, "m.room.topic", {"topic": "one"})
    same(u.get_state(room, "m.room.topic")["topic"], "one")
    whole = u.get(f"rooms/{quote(room)}/state/m.room.topic/?format=event")
    same((whole["event_id"], whole["content"]["topic"], whole["state_key"]), (e, "one", ""))
    second = u.state(room, "m.room.topic", {"topic": "two"})
    event = u.event(room, second)
    same(event["unsigned"]["prev_content"], {"topic": "one"})
    same(event["unsigned"]["replaces_state"], e)
    same(ok(u.call("GET", f"rooms/{quote(room)}/state/m.room.topic"))["topic"], "two", "without the final slash")
    ok(u.call("PUT", f"rooms/{quote(room)}/state/m.room.topic", {"topic": "three"}))
    refused(u.call("GET", f"rooms/{quote(room)}/state/m.room.none/"), 404, "M_NOT_FOUND")


def test_state_keys_may_hold_anything(server):
    u = server.register()
    room = u.create_room()
    for key in ("a/b", "with space", "한국", "%2F", "?x=1", "."):
        u.state(room, "org.example.k", {"key": key}, key)
        same(u.get_state(room, "org.example.k", key), {"key": key})


def test_the_same_state_again_makes_no_new_event(server):
    u = server.register()
    room = u.create_room()
    one = u.state(room, "m.room.name", {"name": "x"})
    same(u.state(room, "m.room.name", {"name": "x"}), one)


def test_state_is_not_for_outsiders(server):
    u, v = server.users(2)
    room = u.create_room()
    refused(v.call("GET", f"rooms/{quote(room)}/state"), 403, "M_FORBIDDEN")
    refused(v.call("GET", f"rooms/{quote(room)}/state/m.room.create/"), 403, "M_FORBIDDEN")
    refused(v.call("PUT", f"rooms/{quote(room)}/state/m.room.name/", {"name": "x"}), 403, "M_FORBIDDEN")


def test_state_after_leaving_is_that_of_then(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", name="Before")
    v.join(room)
    v.leave(room)
    u.state(room, "m.room.name", {"name": "After"})
    same(v.get_state(room, "m.room.name")["name"], "Before")
    same({(e["type"]): e for e in v.get(f"rooms/{quote(room)}/state")}["m.room.name"]["content"]["name"], "Before")


def test_canonical_alias_is_checked(server):
    u = server.register()
    room = u.create_room()
    alias = f"#{unique('ca')}:localhost"
    refused(u.call("PUT", f"rooms/{quote(room)}/state/m.room.canonical_alias/", {"alias": alias}), 400, "M_BAD_ALIAS")
    refused(u.call("PUT", f"rooms/{quote(room)}/state/m.room.canonical_alias/", {"alias": "nonsense"}), 400, ("M_INVALID_PARAM", "M_BAD_ALIAS"))
    u.put(f"directory/room/{quote(alias)}", {"room_id": room})
    u.state(room, "m.room.canonical_alias", {"alias": alias})
    refused(u.call("PUT", f"rooms/{quote(room)}/state/m.room.canonical_alias/", {"alias": alias, "alt_aliases": ["#zz:localhost"]}), 400, "M_BAD_ALIAS")


def test_one_event(server):
    u, v = server.users(2)
    room, other = u.create_room(), u.create_room()
    e = u.send(room, "x")
    same(u.event(room, e)["content"]["body"], "x")
    refused(u.call("GET", f"rooms/{quote(other)}/event/{quote(e)}"), 404, "M_NOT_FOUND")
    refused(u.call("GET", f"rooms/{quote(room)}/event/{quote('$none')}"), 404, "M_NOT_FOUND")
    refused(v.call("GET", f"rooms/{quote(room)}/event/{quote(e)}"), (403, 404))
    check("age" in u.event(room, e).get("unsigned", {}), "unsigned.age")


def test_redaction_removes_the_content(server):
    u, v = server.users(2)
    for version in ("10", "11", "12"):
        room = u.create_room(preset="public_chat", room_version=version)
        v.join(room)
        v.sync()
        e = u.send(room, "secret")
        r = u.redact(room, e, "private")
        seen = v.event(room, e)
        same(seen["content"], {}, f"version {version}")
        because = seen["unsigned"]["redacted_because"]
        same((because["event_id"], because["sender"], because["content"].get("reason")), (r, u.id, "private"))
        redaction = v.sync_event(room, r)
        same(redaction["type"], "m.room.redaction")
        same(redaction.get("redacts"), e, f"top-level redacts for clients, version {version}")
        if version != "10":
            same(redaction["content"]["redacts"], e, f"version {version}")
        same(find(v.messages(room)["chunk"], event_id=e)["content"], {})


def test_redaction_needs_power_or_the_same_sender(server):
    u, v, w = server.users(3)
    room = u.create_room(preset="public_chat")
    v.join(room), w.join(room)
    e = v.send(room, "x")
    refused(w.call("PUT", f"rooms/{quote(room)}/redact/{quote(e)}/{unique()}", {}), 403, "M_FORBIDDEN")
    same(u.event(room, e)["content"]["body"], "x")
    v.redact(room, e)
    second = v.send(room, "y")
    u.redact(room, second)
    same(u.event(room, second)["content"], {})


def test_redaction_is_idempotent_and_checked(server):
    u = server.register()
    room = u.create_room()
    e = u.send(room, "x")
    path = f"rooms/{quote(room)}/redact/{quote(e)}/rt1"
    same(u.put(path, {}), u.put(path, {}))
    refused(u.call("PUT", f"rooms/{quote(room)}/redact/{quote('$none')}/{unique()}", {}), (400, 403, 404))


def test_redaction_keeps_what_rooms_stand_on(server):
    u = server.register()
    room = u.create_room(room_version="11")
    e = u.state(room, "m.room.member", {"membership": "join", "displayname": "Name"}, u.id)
    u.redact(room, e)
    same(u.event(room, e)["content"], {"membership": "join"})
    same(u.get_state(room, "m.room.member", u.id), {"membership": "join"})
    e = u.state(room, "m.room.history_visibility", {"history_visibility": "joined", "extra": 1})
    u.redact(room, e)
    same(u.event(room, e)["content"], {"history_visibility": "joined"})
    e = u.state(room, "m.room.name", {"name": "x"})
    u.redact(room, e)
    same(u.get_state(room, "m.room.name"), {})


def test_sent_order_is_kept(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.sync()
    sent = [u.send(room, f"{n}") for n in range(30)]
    seen = []
    while len(seen) < 30:
        seen += [e["event_id"] for e in timeline(v.sync(timeout=2000, filter={"room": {"timeline": {"limit": 100}}}), room)]
    same(seen, sent)


def test_timestamp_to_event(server):
    u = server.register()
    room = u.create_room()
    a = u.event(room, u.send(room, "a"))
    b = u.event(room, u.send(room, "b"))
    path = f"/_matrix/client/v1/rooms/{quote(room)}/timestamp_to_event"
    r = u.get(path, ts=b["origin_server_ts"] + 1000, dir="b")
    same((r["event_id"], r["origin_server_ts"]), (b["event_id"], b["origin_server_ts"]))
    same(u.get(path, ts=0, dir="f")["event_id"], find(u.get(f"rooms/{quote(room)}/state"), type="m.room.create")["event_id"])
    refused(u.call("GET", path, query={"ts": b["origin_server_ts"] + 10**7, "dir": "f"}), 404, "M_NOT_FOUND")
    refused(u.call("GET", path, query={"dir": "f"}), 400)
    refused(u.call("GET", path, query={"ts": "x", "dir": "f"}), 400)
    check(a["origin_server_ts"] <= b["origin_server_ts"])


def test_reporting(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    e = u.send(room, "rude")
    same(v.post(f"rooms/{quote(room)}/report/{quote(e)}", {"reason": "rude", "score": -100}), {})
    refused(v.call("POST", f"rooms/{quote(room)}/report/{quote('$none')}", {"reason": "x"}), 404, "M_NOT_FOUND")
    same(v.post(f"rooms/{quote(room)}/report", {"reason": "spam"}), {})
    same(v.post(f"users/{quote(u.id)}/report", {"reason": "spam"}), {})
    outsider = server.register()
    refused(outsider.call("POST", f"rooms/{quote(u.create_room())}/report/{quote(e)}", {"reason": "x"}), (403, 404))


def test_delayed_events_flag_does_not_send_at_once_unless_supported(server):
    u = server.register()
    room = u.create_room()
    flags = ok(u.call("GET", "/_matrix/client/versions")).get("unstable_features", {})
    if not flags.get("org.matrix.msc4140"):
        return
    r = u.call("PUT", f"rooms/{quote(room)}/send/m.room.message/{unique()}", {"msgtype": "m.text", "body": "late"},
               query={"org.matrix.msc4140.delay": 100000})
    check("delay_id" in ok(r), json.dumps(r.json))
