"""Simplified sliding sync (MSC4186), under the name that clients use."""

import time

from harness import SLOW, Later, bodies, check, find, ids, in_parallel, ok, quote, refused, same, unique

PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
ONE_NODE = True  # a connection is its node's; at another one it is begun anew
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


def subscribe(room, limit=5, *state):
    return {"room_subscriptions": {room: {"timeline_limit": limit, "required_state": [list(s) for s in state]}}}


def test_leaving_is_told_once_and_nothing_after_it(server):
    u, v, w = server.users(3)
    room = u.create_room(preset="public_chat", name="Before")
    v.join(room)
    w.join(room)
    ask = window(state=(("m.room.member", "$ME"), ("m.room.name", "")))
    pv, pw = sliding(v, ask)["pos"], sliding(w, ask)["pos"]
    v.leave(room)
    u.post(f"rooms/{quote(room)}/ban", {"user_id": w.id})
    u.state(room, "m.room.name", {"name": "After"})
    u.send(room, "secret")
    for who, pos, membership in ((v, pv, "leave"), (w, pw, "ban")):
        r = sliding(who, ask, pos=pos)
        part = r["rooms"][room]
        own = find(part["required_state"], type="m.room.member", state_key=who.id)
        same(own["content"]["membership"], membership)
        check(find(part["timeline"], type="m.room.member", state_key=who.id))
        check("After" not in str(part) and "secret" not in str(part), f"{part}")
        r = sliding(who, ask, pos=r["pos"])
        check(room not in r["rooms"])
        u.send(room, "more")
        check(room not in sliding(who, ask, pos=r["pos"])["rooms"])
        check(room not in sliding(who, ask)["rooms"], "not in a new connection")


def test_an_invitation_accepted_and_one_refused(server):
    u, v = server.users(2)
    yes, no = u.create_room(invite=[v.id], name="Yes"), u.create_room(invite=[v.id], name="No")
    u.send(yes, "hello")
    ask = window(state=(("m.room.member", "$ME"), ("m.room.name", "")))
    r = sliding(v, ask)
    same({room: "invite_state" in part for room, part in r["rooms"].items()}, {yes: True, no: True})
    same(sliding(v, ask, pos=r["pos"])["rooms"], {})
    v.join(yes)
    v.leave(no)
    r = sliding(v, ask, pos=r["pos"])
    part = r["rooms"][yes]
    same(part["initial"], True)
    check("invite_state" not in part and find(part["required_state"], type="m.room.name"))
    check(find(part["timeline"], type="m.room.message"))
    same(find(r["rooms"][no]["required_state"], type="m.room.member", state_key=v.id)["content"]["membership"], "leave")
    check("hello" not in str(r["rooms"][no]))
    same(r["lists"]["all"]["count"], 2)
    same(sliding(v, ask, pos=r["pos"])["rooms"], {})


def test_a_larger_timeline_is_sent_again(server):
    u = server.register()
    room = u.create_room()
    sent = [u.send(room, f"{n}") for n in range(8)]
    r = sliding(u, window(limit=1))
    same(ids(r["rooms"][room]["timeline"]), sent[-1:])
    same(r["rooms"][room]["limited"], True)
    both = {**window(limit=1), **subscribe(room, 5)}
    r = sliding(u, both, pos=r["pos"])
    part = r["rooms"][room]
    same((ids(part["timeline"]), part.get("initial"), part["unstable_expanded_timeline"]), (sent[-5:], None, True))
    r = sliding(u, both, pos=r["pos"])
    same(r["rooms"], {})
    more = [u.send(room, f"{n}") for n in range(3)]
    r = sliding(u, window(limit=1), pos=r["pos"])
    part = r["rooms"][room]
    same((ids(part["timeline"]), part["limited"], part["num_live"]), (more[-1:], True, 1))
    check("unstable_expanded_timeline" not in part)
    same(ids(sliding(u, both, pos=r["pos"])["rooms"][room]["timeline"]), [*sent[-2:], *more])


def test_more_required_state_is_sent_alone_and_then_kept_up(server):
    u = server.register()
    room = u.create_room(name="N", topic="T")
    e = u.send(room, "x")
    r = sliding(u, window(limit=1))
    wider = window(limit=1, state=(("m.room.name", ""), ("m.room.topic", "")))
    r = sliding(u, wider, pos=r["pos"])
    part = r["rooms"][room]
    same([s["type"] for s in part["required_state"]], ["m.room.topic"])
    same(part["timeline"], [])
    u.state(room, "m.room.topic", {"topic": "T2"})
    r = sliding(u, window(limit=1), pos=r["pos"])
    same([s["content"] for s in r["rooms"][room]["required_state"]], [{"topic": "T2"}], "once asked for, always kept up")
    same(sliding(u, wider, pos=r["pos"])["rooms"], {})
    check(e)


def test_members_are_sent_once_when_they_speak(server):
    u, v, w = server.users(3)
    room = u.create_room(preset="public_chat")
    v.join(room)
    w.join(room)
    ask = window(limit=1, state=(("m.room.member", "$LAZY"),))
    u.send(room, "x")

    def members(part):
        return {e["state_key"] for e in part["required_state"]}

    r = sliding(u, ask)
    same(members(r["rooms"][room]), {u.id})
    v.send(room, "y")
    r = sliding(u, ask, pos=r["pos"])
    same(members(r["rooms"][room]), {v.id})
    v.send(room, "z")
    r = sliding(u, ask, pos=r["pos"])
    same(members(r["rooms"][room]), set())
    v.put(f"profile/{quote(v.id)}/displayname", {"displayname": "New"})
    w.send(room, "w")
    r = sliding(u, ask, pos=r["pos"])
    same(members(r["rooms"][room]), {v.id, w.id}, "the known one changed, the new one speaks")


def test_names_and_heroes(server):
    u = server.register()
    v = server.register(display="Vera")
    room = u.create_room(preset="public_chat")
    v.join(room)
    r = sliding(u, window())
    part = r["rooms"][room]
    check("name" not in part)
    same([(h["user_id"], h["displayname"]) for h in part["heroes"]], [(v.id, "Vera")])
    u.state(room, "m.room.name", {"name": "N"})
    u.state(room, "m.room.avatar", {"url": "mxc://x/y"})
    r = sliding(u, window(), pos=r["pos"])
    same((r["rooms"][room]["name"], r["rooms"][room]["avatar"]), ("N", "mxc://x/y"))
    u.send(room, "x")
    r = sliding(u, window(), pos=r["pos"])
    check("name" not in r["rooms"][room] and "avatar" not in r["rooms"][room], "only when they change")
    u.state(room, "m.room.avatar", {})
    r = sliding(u, window(), pos=r["pos"])
    same(r["rooms"][room]["avatar"], None)


def test_a_room_out_of_the_window_is_caught_up_later(server):
    u = server.register()
    first, second = u.create_room(name="1"), u.create_room(name="2")
    ask = {**window(0, 0, limit=10), "extensions": {"account_data": {"enabled": True}}}
    r = sliding(u, ask)
    same(set(r["rooms"]), {second})
    e = u.send(first, "up")
    r = sliding(u, ask, pos=r["pos"])
    same((set(r["rooms"]), r["rooms"][first]["initial"]), ({first}, True))
    u.put(f"user/{quote(u.id)}/rooms/{quote(second)}/account_data/org.example.r", {"r": 1})
    u.state(second, "m.room.topic", {"topic": "silent"})
    r = sliding(u, ask, pos=r["pos"])
    same(set(r["rooms"]), set())
    check(second not in r["extensions"].get("account_data", {}).get("rooms", {}))
    f = u.send(second, "up too")
    r = sliding(u, ask, pos=r["pos"])
    part = r["rooms"][second]
    check(not part.get("initial") and not part["limited"])
    same([x["type"] for x in part["timeline"]], ["m.room.topic", "m.room.message"])
    check(find(r["extensions"]["account_data"]["rooms"][second], type="org.example.r"))
    check(e and f)


def test_tags_and_spaces(server):
    u = server.register()
    plain, loved, child = u.create_room(), u.create_room(), u.create_room()
    space = u.create_room(creation_content={"type": "m.space"})
    u.put(f"user/{quote(u.id)}/rooms/{quote(loved)}/tags/m.favourite", {"order": 0.5})
    u.state(space, "m.space.child", {"via": ["x"]}, child)
    for f, expected in (({"tags": ["m.favourite"]}, {loved}), ({"not_tags": ["m.favourite"]}, {plain, child, space}),
                        ({"spaces": [space]}, {child}), ({"room_types": [None]}, {plain, loved, child})):
        same(set(sliding(u, window(filters=f))["rooms"]), expected, f"{f}")


def test_who_is_ignored_is_not_heard(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    u.put(f"user/{quote(u.id)}/account_data/m.ignored_user_list", {"ignored_users": {v.id: {}}})
    invited = v.create_room(invite=[u.id])
    pos = sliding(u, window())["pos"]
    v.send(room, "x")
    r = sliding(u, window(), pos=pos)
    check("x" not in bodies(r["rooms"].get(room, {}).get("timeline", [])))
    check(invited not in r["rooms"])


def test_history_before_joining_stays_hidden(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", initial_state=[{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}])
    u.send(room, "hidden")
    v.join(room)
    u.send(room, "shown")
    same(bodies(sliding(v, window(limit=20))["rooms"][room]["timeline"]), ["shown"])


def test_own_receipts_clear_the_counts_and_typing_ends(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    e = v.send(room, "x")
    ask = {**window(), "extensions": {"typing": {"enabled": True}, "receipts": {"enabled": True}}}
    r = sliding(u, ask)
    same(r["rooms"][room]["notification_count"], 1)
    u.receipt(room, e)
    r = sliding(u, ask, pos=r["pos"])
    same((r["rooms"][room]["notification_count"], r["rooms"][room]["timeline"]), (0, []))
    check(u.id in str(r["extensions"]["receipts"]["rooms"][room]))
    r2 = sliding(u, ask, pos=r["pos"])
    same((r2["rooms"], r2["extensions"]), ({}, {}), "receipts come once")
    typing = f"rooms/{quote(room)}/typing/{quote(v.id)}"
    v.put(typing, {"typing": True, "timeout": 20000})
    r = sliding(u, ask, pos=r2["pos"])
    same(r["extensions"]["typing"]["rooms"][room]["content"]["user_ids"], [v.id])
    v.put(typing, {"typing": False})
    r = sliding(u, ask, pos=r["pos"])
    same(r["extensions"]["typing"]["rooms"][room]["content"]["user_ids"], [])


def test_to_device_has_its_own_token(server):
    u, v = server.users(2)
    ask = {"extensions": {"to_device": {"enabled": True, "limit": 2}}}
    pos = sliding(u, ask)["pos"]
    for n in range(3):
        v.put(f"sendToDevice/org.example.t/{unique()}", {"messages": {u.id: {u.device: {"n": n}}}})
    r = sliding(u, ask, pos=pos)["extensions"]["to_device"]
    same([m["content"]["n"] for m in r["events"]], [0, 1])
    again = sliding(u, ask)["extensions"]["to_device"]
    same(again, r, "until its token comes back, whatever pos says")
    ask["extensions"]["to_device"]["since"] = r["next_batch"]
    same([m["content"]["n"] for m in sliding(u, ask)["extensions"]["to_device"]["events"]], [2])


def test_a_wait_ends_for_an_invitation_and_for_mail(server):
    u, v = server.users(2)
    ask = {**window(), "extensions": {"to_device": {"enabled": True}}}
    pos = sliding(u, ask)["pos"]
    waiting = Later(lambda: sliding(u, ask, pos=pos, timeout=20000))
    waiting.thread.join(0.1)
    room = v.create_room(invite=[u.id])
    r = waiting.value()
    check("invite_state" in r["rooms"][room])
    waiting = Later(lambda: sliding(u, ask, pos=r["pos"], timeout=20000))
    waiting.thread.join(0.1)
    v.put(f"sendToDevice/org.example.t/{unique()}", {"messages": {u.id: {u.device: {"n": 1}}}})
    same(len(waiting.value()["extensions"]["to_device"]["events"]), 1)
    check(waiting.seconds < 8 * SLOW)


def test_an_older_position_is_unknown(server):
    u = server.register()
    room = u.create_room()
    first = sliding(u, window())["pos"]
    second = sliding(u, window(), pos=first)["pos"]
    sliding(u, window(), pos=second)
    refused(u.call("POST", PATH, window(), {"pos": first}), 400, "M_UNKNOWN_POS")
    refused(u.call("POST", PATH, {**window(), "conn_id": "other"}, {"pos": second}), 400, "M_UNKNOWN_POS")
    check(room in sliding(u, window())["rooms"])
