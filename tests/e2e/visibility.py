"""Who sees which part of a room's history, by the setting and by when one was there."""

from harness import bodies, check, quote, refused, same, timeline

SETTINGS = ("world_readable", "shared", "invited", "joined")
# What v sees of: before the invitation, while invited, while joined, after leaving.
SEEN = {"world_readable": ["before", "invited", "in", "after"], "shared": ["before", "invited", "in"],
        "invited": ["invited", "in"], "joined": ["in"]}
SMOKE = ["test_history_of_members"]


def room_with(user, setting):
    return user.create_room(preset="private_chat", initial_state=[{"type": "m.room.history_visibility",
                                                                  "content": {"history_visibility": setting}}])


def live(server, setting):
    u, v = server.users(2)
    room = room_with(u, setting)
    sent = {"before": u.send(room, "before")}
    u.invite(room, v)
    sent["invited"] = u.send(room, "invited")
    v.join(room)
    sent["in"] = u.send(room, "in")
    return u, v, room, sent


def test_history_of_members(server):
    for setting in SETTINGS:
        u, v, room, sent = live(server, setting)
        expected = [w for w in SEEN[setting] if w != "after"]
        same(bodies(v.messages(room, dir="f", limit=100)["chunk"]), expected, f"messages, {setting}")
        same(bodies(v.messages(room, dir="b", limit=100)["chunk"])[::-1], expected, f"messages back, {setting}")
        same(bodies(timeline(v.sync(), room)), expected, f"sync, {setting}")
        for word, event in sent.items():
            status = v.call("GET", f"rooms/{quote(room)}/event/{quote(event)}").status
            same(status == 200, word in expected, f"event {word}, {setting}")
            status = v.call("GET", f"rooms/{quote(room)}/context/{quote(event)}").status
            same(status == 200, word in expected, f"context of {word}, {setting}")
        around = v.get(f"rooms/{quote(room)}/context/{quote(sent['in'])}", limit=50)
        same(bodies(around["events_before"])[::-1], expected[:-1], f"context, {setting}")


def test_history_of_those_who_left(server):
    for setting in SETTINGS:
        u, v, room, sent = live(server, setting)
        v.leave(room)
        sent["after"] = u.send(room, "after")
        got = bodies(v.messages(room, dir="b", limit=100)["chunk"])[::-1]
        # Paging may end where one left, even where the world may read on.
        same([w for w in got if w != "after" or setting != "world_readable"],
             [w for w in SEEN[setting] if w != "after"], f"messages, {setting}")
        for word, event in sent.items():
            status = v.call("GET", f"rooms/{quote(room)}/event/{quote(event)}").status
            same(status == 200, word in SEEN[setting], f"event {word}, {setting}")


def test_history_of_strangers(server):
    for setting in SETTINGS:
        u = server.register()
        stranger = server.register()
        room = room_with(u, setting)
        e = u.send(room, "x")
        open_ = setting == "world_readable"
        same(stranger.call("GET", f"rooms/{quote(room)}/messages?dir=b").status == 200, open_, f"messages, {setting}")
        same(stranger.call("GET", f"rooms/{quote(room)}/event/{quote(e)}").status == 200, open_, f"event, {setting}")
        same(stranger.call("GET", f"rooms/{quote(room)}/state").status == 200, open_, f"state, {setting}")
        same(stranger.call("GET", f"rooms/{quote(room)}/context/{quote(e)}").status == 200, open_, f"context, {setting}")


def test_invited_are_not_yet_members(server):
    for setting in ("shared", "invited", "joined"):
        u, v = server.users(2)
        room = room_with(u, setting)
        u.invite(room, v)
        u.send(room, "x")
        refused(v.call("GET", f"rooms/{quote(room)}/messages?dir=b"), 403, "M_FORBIDDEN")
        refused(v.call("GET", f"rooms/{quote(room)}/state"), 403, "M_FORBIDDEN")


def test_a_change_counts_from_there_on(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", initial_state=[{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}])
    u.send(room, "closed")
    u.state(room, "m.room.history_visibility", {"history_visibility": "shared"})
    u.send(room, "open")
    u.state(room, "m.room.history_visibility", {"history_visibility": "joined"})
    u.send(room, "closed again")
    v.join(room)
    u.send(room, "in")
    same(bodies(v.messages(room, dir="f", limit=100)["chunk"]), ["open", "in"])


def test_the_change_itself_is_seen_by_the_wider_rule(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    change = u.state(room, "m.room.history_visibility", {"history_visibility": "joined"})
    v.join(room)
    same(v.event(room, change)["content"]["history_visibility"], "joined")


def test_the_banned_keep_what_they_saw(server):
    u, v, room, _ = live(server, "shared")
    u.post(f"rooms/{quote(room)}/ban", {"user_id": v.id})
    u.send(room, "after")
    same(bodies(v.messages(room, limit=100)["chunk"])[::-1], SEEN["shared"])


def test_gaps_of_absence_with_joined(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", initial_state=[{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}])
    v.join(room)
    u.send(room, "one")
    v.leave(room)
    u.send(room, "absent")
    v.join(room)
    u.send(room, "two")
    same(bodies(v.messages(room, dir="f", limit=100)["chunk"]), ["one", "two"])


def test_search_respects_visibility(server):
    u, v, room, _ = live(server, "joined")
    r = v.post("search", {"search_categories": {"room_events": {"search_term": "before"}}})
    same(r["search_categories"]["room_events"].get("results", []), [])
    r = v.post("search", {"search_categories": {"room_events": {"search_term": "in"}}})
    check("room_events" in r["search_categories"])


def test_relations_respect_visibility(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    root = u.send(room, "root")
    u.state(room, "m.room.history_visibility", {"history_visibility": "joined"})
    hidden = u.send(room, {"m.relates_to": {"rel_type": "m.annotation", "event_id": root, "key": "h"}}, kind="m.reaction")
    v.join(room)
    seen = u.send(room, {"m.relates_to": {"rel_type": "m.annotation", "event_id": root, "key": "s"}}, kind="m.reaction")
    got = [e["event_id"] for e in v.get(f"/_matrix/client/v1/rooms/{quote(room)}/relations/{quote(root)}")["chunk"]]
    same(got, [seen])
    check(hidden not in got)
