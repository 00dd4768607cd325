"""Joining, inviting, leaving, kicking, banning, knocking, restricted rooms."""

from harness import check, eventually, find, in_parallel, joined, ok, quote, refused, same, timeline, unique

SMOKE = ["test_join_a_public_room", "test_invite_and_accept"]


def act(user, room, what, target=None, **more):
    return user.call("POST", f"rooms/{quote(room)}/{what}", {**({"user_id": target.id} if target else {}), **more})


def test_join_a_public_room(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", room_alias_name=unique("j"))
    same(ok(act(v, room, "join")), {"room_id": room})
    same(v.membership(room), "join")
    w = server.register()
    same(w.join(u.get_state(room, "m.room.canonical_alias")["alias"]), room)


def test_joining_twice_makes_no_second_event(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    before = v.full_state(room)["m.room.member", v.id]["event_id"]
    v.join(room)
    same(v.full_state(room)["m.room.member", v.id]["event_id"], before)


def test_joining_at_once_from_many_connections_makes_one_event(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    in_parallel([lambda: v.join(room) for _ in range(5)])
    events = [e for e in u.messages(room, limit=50)["chunk"] if e["type"] == "m.room.member" and e["state_key"] == v.id]
    same(len(events), 1, "membership events")


def test_a_private_room_cannot_be_joined_uninvited(server):
    u, v = server.users(2)
    room = u.create_room()
    refused(act(v, room, "join"), 403, "M_FORBIDDEN")
    refused(v.call("POST", f"join/{quote('!no-such-room:localhost')}"), (403, 404))
    refused(v.call("POST", f"join/{quote('#no-such-alias:localhost')}"), 404, "M_NOT_FOUND")
    refused(v.call("POST", "join/nonsense"), 400)


def test_invite_and_accept(server):
    u, v = server.users(2)
    room = u.create_room(name="Tea")
    v.sync()
    u.post(f"rooms/{quote(room)}/invite", {"user_id": v.id, "reason": "come"})
    invite = v.sync_until(lambda r: r.get("rooms", {}).get("invite", {}).get(room))
    events = invite["invite_state"]["events"]
    same(find(events, type="m.room.member", state_key=v.id)["content"]["membership"], "invite")
    same(find(events, type="m.room.member", state_key=v.id)["content"]["reason"], "come")
    same(find(events, type="m.room.name")["content"]["name"], "Tea")
    check(find(events, type="m.room.join_rules") and find(events, type="m.room.create"), "stripped state")
    for e in events:
        check(set(e) <= {"type", "state_key", "sender", "content", "origin_server_ts", "event_id", "room_id", "unsigned"}, f"{e}")
    v.join(room)
    v.sync_until(lambda r: joined(r, room))


def test_invite_errors(server):
    u, v, w = server.users(3)
    room = u.create_room()
    refused(act(v, room, "invite", w), 403, "M_FORBIDDEN")
    refused(act(u, room, "invite", u), 403, "M_FORBIDDEN")
    refused(u.call("POST", f"rooms/{quote(room)}/invite", {}), 400)
    refused(u.call("POST", f"rooms/{quote(room)}/invite", {"user_id": "not-an-id"}), 400)
    ok(act(u, room, "invite", v))
    v.join(room)
    refused(act(u, room, "invite", v), 403, "M_FORBIDDEN")
    ok(act(u, room, "ban", w))
    refused(act(u, room, "invite", w), 403, ("M_FORBIDDEN", "M_BAD_STATE"))


def test_rejecting_an_invitation(server):
    u, v = server.users(2)
    room = u.create_room(invite=[v.id])
    v.sync()
    v.leave(room)
    same(u.membership(room, v), "leave")
    r = v.sync()
    check(room not in r["rooms"].get("invite", {}) if "rooms" in r else True)
    refused(act(v, room, "join"), 403, "M_FORBIDDEN")


def test_an_invitation_can_be_withdrawn(server):
    u, v = server.users(2)
    room = u.create_room(invite=[v.id])
    v.sync()
    ok(act(u, room, "kick", v))
    v.sync_until(lambda r: room in r.get("rooms", {}).get("leave", {}))
    refused(act(v, room, "join"), 403, "M_FORBIDDEN")


def test_leaving_and_coming_back(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    same(v.leave(room), {})
    same(u.membership(room, v), "leave")
    check(room not in v.get("joined_rooms")["joined_rooms"])
    refused(v.call("PUT", f"rooms/{quote(room)}/send/m.room.message/{unique()}", {"msgtype": "m.text", "body": "x"}), 403, "M_FORBIDDEN")
    v.leave(room)  # leaving what one has left is no error
    v.join(room)
    same(u.membership(room, v), "join")


def test_leaving_rooms_one_was_never_in(server):
    u, v = server.users(2)
    room = u.create_room()
    refused(act(v, room, "leave"), (403, 404))
    refused(v.call("POST", f"rooms/{quote('!none:localhost')}/leave"), (403, 404))


def test_reasons_are_kept(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    ok(v.call("POST", f"rooms/{quote(room)}/join", {"reason": "curious"}))
    same(u.get_state(room, "m.room.member", v.id)["reason"], "curious")
    ok(act(u, room, "kick", v, reason="noise"))
    same(u.get_state(room, "m.room.member", v.id)["reason"], "noise")


def test_kick_ban_unban(server):
    u, v, w = server.users(3)
    room = u.create_room(preset="public_chat")
    v.join(room), w.join(room)
    refused(act(v, room, "kick", w), 403, "M_FORBIDDEN")
    refused(act(v, room, "ban", w), 403, "M_FORBIDDEN")
    refused(act(v, room, "kick", u), 403, "M_FORBIDDEN")
    ok(act(u, room, "kick", v))
    same(u.membership(room, v), "leave")
    refused(act(u, room, "kick", v), 403, "M_FORBIDDEN")
    v.join(room)
    ok(act(u, room, "ban", v))
    same(u.membership(room, v), "ban")
    refused(act(v, room, "join"), 403, "M_FORBIDDEN")
    refused(act(v, room, "leave"), 403, "M_FORBIDDEN")
    ok(act(u, room, "unban", v))
    same(u.membership(room, v), "leave")
    refused(act(u, room, "unban", v), 403, ("M_FORBIDDEN", "M_BAD_STATE"))
    v.join(room)
    ok(act(u, room, "ban", server.register()))


def test_power_decides_who_is_kicked(server):
    u, mod, v = server.users(3)
    room = u.create_room(preset="public_chat", room_version="11")
    mod.join(room), v.join(room)
    levels = u.get_state(room, "m.room.power_levels")
    u.state(room, "m.room.power_levels", {**levels, "users": {u.id: 100, mod.id: 50}})
    refused(act(mod, room, "kick", u), 403, "M_FORBIDDEN")
    ok(act(mod, room, "kick", v))
    refused(mod.call("PUT", f"rooms/{quote(room)}/state/m.room.power_levels/", {**levels, "users": {u.id: 100, mod.id: 100}}), 403, "M_FORBIDDEN")
    refused(mod.call("PUT", f"rooms/{quote(room)}/state/m.room.power_levels/", {**levels, "users": {mod.id: 50}}), 403, "M_FORBIDDEN")
    open_levels = {**levels, "events": {**levels["events"], "m.room.power_levels": 50}}
    u.state(room, "m.room.power_levels", {**open_levels, "users": {u.id: 100, mod.id: 50}})
    mod.state(room, "m.room.power_levels", {**open_levels, "users": {u.id: 100}})  # lowering oneself is allowed


def test_power_levels_must_be_integers(server):
    u = server.register()
    for version in ("10", "11", "12"):
        room = u.create_room(room_version=version)
        levels = u.get_state(room, "m.room.power_levels")
        for bad in ({"ban": "50"}, {"users": {"@x:localhost": "1"}}, {"events": {"m.room.name": "0"}}, {"users": []}, {"ban": 1.5},
                    {"users": {"no-user": 1}}, {"ban": None}):
            r = u.call("PUT", f"rooms/{quote(room)}/state/m.room.power_levels/", {**levels, **bad})
            check(r.status in (400, 403), f"{bad} in version {version}: {r!r}")


def test_state_needs_power(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    refused(v.call("PUT", f"rooms/{quote(room)}/state/m.room.name/", {"name": "mine"}), 403, "M_FORBIDDEN")
    levels = u.get_state(room, "m.room.power_levels")
    u.state(room, "m.room.power_levels", {**levels, "events": {**levels.get("events", {}), "m.room.name": 0}})
    v.state(room, "m.room.name", {"name": "ours"})
    u.state(room, "m.room.power_levels", {**levels, "events_default": 20})
    refused(v.call("PUT", f"rooms/{quote(room)}/send/m.room.message/{unique()}", {"msgtype": "m.text", "body": "x"}), 403, "M_FORBIDDEN")


def test_state_keys_that_name_a_user_belong_to_the_user(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", power_level_content_override={"state_default": 0})
    v.join(room)
    v.state(room, "org.example.mine", {"a": 1}, v.id)
    refused(u.call("PUT", f"rooms/{quote(room)}/state/org.example.mine/{quote(v.id)}", {"a": 2}), 403, "M_FORBIDDEN")


def test_membership_through_the_state_api(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.state(room, "m.room.member", {"membership": "join", "displayname": "In this room"}, v.id)
    same(u.get_state(room, "m.room.member", v.id)["displayname"], "In this room")
    u.state(room, "m.room.member", {"membership": "ban"}, v.id)
    same(u.membership(room, v), "ban")
    refused(u.call("PUT", f"rooms/{quote(room)}/state/m.room.member/{quote(v.id)}", {"membership": "nonsense"}), (400, 403))
    refused(u.call("PUT", f"rooms/{quote(room)}/state/m.room.member/{quote(v.id)}", {}), (400, 403))
    refused(u.call("PUT", f"rooms/{quote(room)}/state/m.room.member/{quote(server.register().id)}", {"membership": "join"}), 403, "M_FORBIDDEN")


def test_a_join_may_carry_content_of_its_own(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.post(f"join/{quote(room)}", {"foo": "bar", "membership": "ban", "displayname": "not me", "reason": "why not"})
    content = v.get_state(room, "m.room.member", v.id)
    same((content["membership"], content["foo"], content["reason"]), ("join", "bar", "why not"))
    check(content.get("displayname") != "not me", "the profile is the server's word")


def test_a_room_forgotten_at_once_still_shows_as_left(server):
    v = server.register()
    room = v.create_room()
    v.sync()
    v.leave(room)
    act(v, room, "forget")
    check(room in v.sync()["rooms"]["leave"])
    check(room not in v.sync(since=None, filter={"room": {"include_leave": True}}).get("rooms", {}).get("leave", {}))


def test_forgetting(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    v.join(room)
    refused(act(v, room, "forget"), 400, "M_UNKNOWN")
    v.leave(room)
    same(ok(act(v, room, "forget")), {})
    check(room not in v.sync(filter={"room": {"include_leave": True}}).get("rooms", {}).get("leave", {}))
    refused(v.call("GET", f"rooms/{quote(room)}/messages?dir=b"), (403, 404))
    v.join(room)
    check(v.messages(room)["chunk"])


def test_knocking(server):
    u, v = server.users(2)
    room = u.create_room(initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}], name="Door")
    u.sync(), v.sync()
    refused(act(v, room, "join"), 403, "M_FORBIDDEN")
    same(v.post(f"knock/{quote(room)}", {"reason": "please"})["room_id"], room)
    same(u.get_state(room, "m.room.member", v.id), {**u.get_state(room, "m.room.member", v.id), "membership": "knock", "reason": "please"})
    knock = v.sync_until(lambda r: r.get("rooms", {}).get("knock", {}).get(room))
    same(find(knock["knock_state"]["events"], type="m.room.name")["content"]["name"], "Door")
    u.sync_until(lambda r: find(timeline(r, room), type="m.room.member", state_key=v.id))
    ok(act(u, room, "invite", v))
    v.join(room)
    refused(v.call("POST", f"knock/{quote(room)}"), 403, "M_FORBIDDEN")


def test_knock_is_withdrawn_or_refused(server):
    u, v, w = server.users(3)
    room = u.create_room(initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}])
    v.post(f"knock/{quote(room)}"), w.post(f"knock/{quote(room)}")
    v.leave(room)
    same(u.membership(room, v), "leave")
    ok(act(u, room, "kick", w))
    same(u.membership(room, w), "leave")
    u.post(f"rooms/{quote(room)}/ban", {"user_id": w.id})
    refused(w.call("POST", f"knock/{quote(room)}"), 403, "M_FORBIDDEN")
    refused(v.call("POST", f"knock/{quote(u.create_room())}"), 403, "M_FORBIDDEN")
    refused(v.call("POST", f"knock/{quote('#none:localhost')}"), 404, "M_NOT_FOUND")


def restricted(user, allowed, rule="restricted", **kw):
    return user.create_room(initial_state=[{"type": "m.room.join_rules", "content": {
        "join_rule": rule, "allow": [{"type": "m.room_membership", "room_id": allowed}]}}], **kw)


def test_restricted_joins(server):
    u, v = server.users(2)
    for version in ("10", "11", "12"):
        gate = u.create_room(preset="public_chat", room_version=version)
        room = restricted(u, gate, room_version=version)
        refused(act(v, room, "join"), 403, "M_FORBIDDEN")
        v.join(gate)
        v.join(room)
        same(u.get_state(room, "m.room.member", v.id)["join_authorised_via_users_server"], u.id, f"version {version}")
        v.leave(gate)
        v.post(f"rooms/{quote(room)}/join", {})  # still in
        same(u.membership(room, v), "join")


def test_restricted_rooms_still_take_invitations(server):
    u, v = server.users(2)
    room = restricted(u, u.create_room())
    refused(act(v, room, "join"), 403, "M_FORBIDDEN")
    u.invite(room, v)
    v.join(room)


def test_knock_restricted(server):
    u, v, w = server.users(3)
    gate = u.create_room(preset="public_chat")
    room = restricted(u, gate, "knock_restricted")
    v.join(gate)
    v.join(room)
    refused(act(w, room, "join"), 403, "M_FORBIDDEN")
    w.post(f"knock/{quote(room)}")
    same(u.membership(room, w), "knock")


def test_members_lists(server):
    u, v, w = server.users(3)
    room = u.create_room(preset="public_chat")
    v.put(f"profile/{quote(v.id)}/displayname", {"displayname": "Vee"})
    v.join(room)
    u.invite(room, w)
    members = u.get(f"rooms/{quote(room)}/members")["chunk"]
    same({m["state_key"]: m["content"]["membership"] for m in members}, {u.id: "join", v.id: "join", w.id: "invite"})
    only = u.get(f"rooms/{quote(room)}/members", membership="join")["chunk"]
    same({m["state_key"] for m in only}, {u.id, v.id})
    rest = u.get(f"rooms/{quote(room)}/members", not_membership="join")["chunk"]
    same({m["state_key"] for m in rest}, {w.id})
    people = u.get(f"rooms/{quote(room)}/joined_members")["joined"]
    same(set(people), {u.id, v.id})
    same(people[v.id]["display_name"], "Vee")
    x = server.register()
    refused(x.call("GET", f"rooms/{quote(room)}/members"), 403, "M_FORBIDDEN")
    refused(x.call("GET", f"rooms/{quote(room)}/joined_members"), 403, "M_FORBIDDEN")


def test_members_at_a_point(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat")
    u.sync()
    v.join(room)
    same({m["state_key"] for m in u.get(f"rooms/{quote(room)}/members", at=u.since)["chunk"]}, {u.id})


def test_who_has_left_sees_the_members_of_then(server):
    u, v, w = server.users(3)
    room = u.create_room(preset="public_chat")
    v.join(room)
    v.leave(room)
    w.join(room)
    seen = {m["state_key"]: m["content"]["membership"] for m in v.get(f"rooms/{quote(room)}/members")["chunk"]}
    same(seen.get(v.id), "leave")
    check(w.id not in seen, "nothing of what came later")


def test_server_acls_and_encryption_are_kept(server):
    u = server.register()
    room = u.create_room()
    acl = {"allow": ["*"], "deny": ["evil.example"], "allow_ip_literals": False}
    u.state(room, "m.room.server_acl", acl)
    same(u.get_state(room, "m.room.server_acl"), acl)


def test_room_upgrade(server):
    u, v = server.users(2)
    room = u.create_room(preset="public_chat", name="Old", topic="T", room_version="10", room_alias_name=unique("up"))
    alias = u.get_state(room, "m.room.canonical_alias")["alias"]
    v.join(room)
    refused(v.call("POST", f"rooms/{quote(room)}/upgrade", {"new_version": "11"}), 403, "M_FORBIDDEN")
    refused(u.call("POST", f"rooms/{quote(room)}/upgrade", {"new_version": "zzz"}), 400, "M_UNSUPPORTED_ROOM_VERSION")
    refused(u.call("POST", f"rooms/{quote(room)}/upgrade", {}), 400)
    for version in ("11", "12"):
        new = u.post(f"rooms/{quote(room)}/upgrade", {"new_version": version})["replacement_room"]
        same(u.get_state(room, "m.room.tombstone")["replacement_room"], new)
        create = u.get_state(new, "m.room.create")
        same((create["room_version"], create["predecessor"]["room_id"]), (version, room))
        same(u.get_state(new, "m.room.name")["name"], "Old")
        same(u.get_state(new, "m.room.topic")["topic"], "T")
        same(u.get_state(new, "m.room.join_rules")["join_rule"], "public")
        eventually(lambda: u.get(f"directory/room/{quote(alias)}")["room_id"] == new, "the alias moves")
        refused(v.call("PUT", f"rooms/{quote(room)}/send/m.room.message/{unique()}", {"msgtype": "m.text", "body": "x"}), 403, "M_FORBIDDEN")
        v.join(new)
        room = new
