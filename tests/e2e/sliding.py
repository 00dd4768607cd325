"""Simplified sliding sync (MSC4186), under the name that clients use."""

import time

from harness import SLOW, Later, bodies, check, find, ids, in_parallel, ok, quote, refused, same, unique

PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
SMOKE = ["test_a_list_of_rooms"]


def sliding(user, body=None, **query):
    return ok(user.call("POST", PATH, body or {}, query))


def window(first=0, last=9, limit=5, state=(("m.room.name", ""),), **more):
    return {"lists": {"all": {"ranges": [[first, last]], "timeline_limit": limit, "required_state": [list(s) for s in state], **more}}}


def test_the_flag_is_shown(server):
    same(ok(server.call("GET", "/_matrix/client/versions"))["unstable_features"]["org.matrix.simplified_msc3575"], True)


def test_a_list_of_rooms(server):
    u = server.register()
    rooms = [u.create_room(name=f"R{n}") for n in range(3)]
    for room in rooms:
        u.send(room, "hi")
    r = sliding(u, window())
    same(r["lists"]["all"]["count"], 3)
    same(set(r["rooms"]), set(rooms))
    part = r["rooms"][rooms[0]]
    same((part["name"], part["initial"]), ("R0", True))
    same(bodies(part["timeline"]), ["hi"])
    same([e["type"] for e in part["required_state"]], ["m.room.name"])
    check(part["bump_stamp"] > 0 and "pos" in r)
    same(part["joined_count"], 1)


def test_the_window_is_the_most_recent(server):
    u = server.register()
    rooms = [u.create_room(name=f"R{n}") for n in range(4)]
    u.send(rooms[1], "bump")
    r = sliding(u, window(0, 1))
    same(set(r["rooms"]), {rooms[1], rooms[3]})
    same(r["lists"]["all"]["count"], 4)
    r = sliding(u, window(0, 3), pos=r["pos"])
    same(set(r["rooms"]), {rooms[0], rooms[2]}, "only the new ones of a grown window")


def test_only_what_changed(server):
    u, v = server.users(2)
    room, other = u.create_room(preset="public_chat"), u.create_room()
    v.join(room)
    r = sliding(u, window())
    e = v.send(room, "news")
    r = sliding(u, window(), pos=r["pos"])
    same(list(r["rooms"]), [room])
    same(ids(r["rooms"][room]["timeline"]), [e])
    check(not r["rooms"][room].get("initial"))
    r = sliding(u, window(), pos=r["pos"])
    same(r.get("rooms", {}), {})
    check(other)


def test_required_state(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", name="N", topic="T")
    v.join(room)
    v.send(room, "x")
    state = [["m.room.member", "$LAZY"], ["m.room.member", "$ME"], ["m.room.topic", ""], ["m.room.create", ""]]
    r = sliding(u, window(limit=1, state=state))
    got = {(e["type"], e["state_key"]) for e in r["rooms"][room]["required_state"]}
    same(got, {("m.room.member", u.id), ("m.room.member", v.id), ("m.room.topic", ""), ("m.room.create", "")})
    r = sliding(u, window(state=[["*", "*"]]))
    check(len(r["rooms"][room]["required_state"]) > 6)


def test_subscriptions(server):
    u = server.register()
    room = u.create_room()
    sent = [u.send(room, f"{n}") for n in range(5)]
    r = sliding(u, {"room_subscriptions": {room: {"timeline_limit": 3, "required_state": []}}})
    part = r["rooms"][room]
    same(ids(part["timeline"]), sent[2:])
    same(part["limited"], True)
    same(bodies(u.messages(room, limit=2, **{"from": part["prev_batch"]})["chunk"]), ["1", "0"])
    outsider = server.register()
    r = sliding(outsider, {"room_subscriptions": {room: {"timeline_limit": 3, "required_state": []}}})
    check(room not in r.get("rooms", {}), "not of rooms one is not in")


def test_waiting(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    pos = sliding(u, window())["pos"]
    start = time.monotonic()
    pos = sliding(u, window(), pos=pos, timeout=500)["pos"]
    took = time.monotonic() - start
    check(0.45 < took < 1.5 * SLOW, f"{took}")
    waiting = Later(lambda: sliding(u, window(), pos=pos, timeout=20000))
    waiting.thread.join(0.2)
    e = v.send(room, "wake")
    same(ids(waiting.value()["rooms"][room]["timeline"]), [e])
    check(waiting.seconds < 8 * SLOW)


def test_invitations_and_direct_rooms(server):
    u, v = server.users(2)
    room = u.create_room(invite=[v.id], name="Come")
    r = sliding(v, window())
    part = r["rooms"][room]
    check(find(part["invite_state"], type="m.room.member", state_key=v.id))
    check(not part.get("timeline"), "no timeline before joining")


def test_filters(server):
    u, v = server.users(2)
    plain = u.create_room()
    space = u.create_room(creation_content={"type": "m.space"})
    secret = u.create_room(initial_state=[{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}])
    dm = u.create_room(is_direct=True, invite=[v.id])
    u.put(f"user/{quote(u.id)}/account_data/m.direct", {v.id: [dm]})
    for f, expected in (({"is_dm": True}, {dm}), ({"is_encrypted": True}, {secret}), ({"room_types": ["m.space"]}, {space}),
                        ({"not_room_types": ["m.space"]}, {plain, secret, dm}), ({"is_invite": True}, set())):
        same(set(sliding(u, window(filters=f)).get("rooms", {})), expected, f"{f}")


def test_extensions(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    e = u.send(room, "x")
    ask = {**window(), "extensions": {k: {"enabled": True} for k in ("to_device", "e2ee", "account_data", "typing", "receipts")}}
    r = sliding(u, ask)
    check("device_one_time_keys_count" in r["extensions"]["e2ee"])
    check(find(r["extensions"]["account_data"]["global"], type="m.push_rules"))
    since = r["extensions"]["to_device"]["next_batch"]
    v.put(f"sendToDevice/org.example.t/{unique()}", {"messages": {u.id: {u.device: {"n": 1}}}})
    v.receipt(room, e)
    v.put(f"rooms/{quote(room)}/typing/{quote(v.id)}", {"typing": True, "timeout": 20000})
    u.put(f"user/{quote(u.id)}/rooms/{quote(room)}/account_data/org.example.r", {"r": 1})
    again = {**ask, "extensions": {**ask["extensions"], "to_device": {"enabled": True, "since": since}}}
    r2 = sliding(u, again, pos=r["pos"])
    x = r2["extensions"]
    same([m["content"] for m in x["to_device"]["events"]], [{"n": 1}])
    check(v.id in str(x["receipts"]["rooms"][room]))
    same(x["typing"]["rooms"][room]["content"]["user_ids"], [v.id])
    check(find(x["account_data"]["rooms"][room], type="org.example.r"))
    r3 = sliding(u, {**again, "extensions": {**again["extensions"], "to_device": {"enabled": True, "since": x["to_device"]["next_batch"]}}}, pos=r2["pos"])
    same(r3["extensions"].get("to_device", {}).get("events", []), [])


def test_a_repeated_position_loses_nothing(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    pos = sliding(u, window())["pos"]
    e = v.send(room, "x")
    for _ in range(2):
        same(ids(sliding(u, window(), pos=pos)["rooms"][room]["timeline"]), [e])


def test_unknown_positions_and_bad_bodies(server):
    u = server.register()
    refused(u.call("POST", PATH, {}, {"pos": "nonsense"}), 400, ("M_UNKNOWN_POS", "M_INVALID_PARAM"))
    for bad in ({"lists": 5}, {"lists": {"a": {"ranges": "x", "timeline_limit": 1}}}, {"lists": {"a": {"ranges": [[5, 1]], "timeline_limit": 1}}},
                {"room_subscriptions": []}):
        refused(u.call("POST", PATH, bad), 400)
    refused(server.call("POST", PATH, {}), 401, "M_MISSING_TOKEN")


def test_notification_counts_and_conn_ids(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    u.receipt(room, v.send(room, "x"))
    v.send(room, "y")
    part = sliding(u, window())["rooms"][room]
    same(part.get("notification_count"), 1)
    a, b = in_parallel([lambda: sliding(u, {**window(), "conn_id": "a"}), lambda: sliding(u, {**window(), "conn_id": "b"})])
    check(room in a["rooms"] and room in b["rooms"], "connections do not disturb each other")
