"""Creating rooms."""

from harness import canonical, check, find, ok, quote, refused, same, sha256_b64, unique

SMOKE = ["test_presets"]


def test_presets(server):
    u = server.register()
    for preset, rule, guests in (("private_chat", "invite", "can_join"), ("trusted_private_chat", "invite", "can_join"),
                                 ("public_chat", "public", "forbidden")):
        room = u.create_room(preset=preset)
        state = u.full_state(room)
        same(state["m.room.join_rules", ""]["content"]["join_rule"], rule, f"join rule of {preset}")
        same(state["m.room.history_visibility", ""]["content"]["history_visibility"], "shared")
        same(state["m.room.guest_access", ""]["content"]["guest_access"], guests, f"guest access of {preset}")
        same(state["m.room.member", u.id]["content"]["membership"], "join")
        check(("m.room.power_levels", "") in state and ("m.room.create", "") in state)


def test_visibility_chooses_the_preset(server):
    u = server.register()
    same(u.get_state(u.create_room(visibility="public"), "m.room.join_rules")["join_rule"], "public")
    same(u.get_state(u.create_room(visibility="private"), "m.room.join_rules")["join_rule"], "invite")
    same(u.get_state(u.create_room(), "m.room.join_rules")["join_rule"], "invite")


def test_trusted_private_chat_gives_invitees_the_same_power(server):
    u, v = server.users(2)
    room = u.create_room(preset="trusted_private_chat", invite=[v.id], room_version="11")
    same(u.get_state(room, "m.room.power_levels")["users"].get(v.id), 100)
    room = u.create_room(preset="trusted_private_chat", invite=[v.id], room_version="12")
    same(u.get_state(room, "m.room.create").get("additional_creators"), [v.id])


def test_the_order_of_first_events(server):
    u = server.register()
    room = u.create_room(preset="private_chat", name="N", topic="T", room_alias_name=unique("al"),
                         initial_state=[{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}])
    types = [e["type"] for e in u.messages(room, dir="f", limit=50)["chunk"]]
    same(types[:3], ["m.room.create", "m.room.member", "m.room.power_levels"])
    for earlier, later in (("m.room.power_levels", "m.room.canonical_alias"), ("m.room.canonical_alias", "m.room.join_rules"),
                           ("m.room.join_rules", "m.room.encryption"), ("m.room.history_visibility", "m.room.encryption"),
                           ("m.room.encryption", "m.room.name"), ("m.room.name", "m.room.topic")):
        check(types.index(earlier) < types.index(later), f"{earlier} before {later}: {types}")


def test_name_topic_and_alias(server):
    u = server.register()
    alias = unique("room")
    room = u.create_room(name="Guard house", topic="fire", room_alias_name=alias)
    same(u.get_state(room, "m.room.name"), {"name": "Guard house"})
    same(u.get_state(room, "m.room.topic")["topic"], "fire")
    same(u.get_state(room, "m.room.canonical_alias")["alias"], f"#{alias}:localhost")
    same(u.get(f"directory/room/{quote(f'#{alias}:localhost')}")["room_id"], room)
    refused(u.call("POST", "createRoom", {"room_alias_name": alias}), (400, 409), ("M_ROOM_IN_USE", "M_UNKNOWN"))


def test_initial_state_overrides_the_preset(server):
    u = server.register()
    room = u.create_room(preset="private_chat", initial_state=[
        {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}},
        {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
        {"type": "org.example.thing", "state_key": "k", "content": {"a": 1}}])
    same(u.get_state(room, "m.room.join_rules")["join_rule"], "knock")
    same(u.get_state(room, "m.room.history_visibility")["history_visibility"], "joined")
    same(u.get_state(room, "org.example.thing", "k"), {"a": 1})


def test_invitations_at_creation(server):
    u, v, w = server.users(3)
    room = u.create_room(invite=[v.id, w.id], is_direct=True)
    for x in (v, w):
        content = u.get_state(room, "m.room.member", x.id)
        same(content["membership"], "invite")
        same(content.get("is_direct"), True)
        check(room in x.sync()["rooms"]["invite"])


def test_room_versions(server):
    u = server.register()
    capabilities = u.get("capabilities")["capabilities"]["m.room_versions"]
    for version in ("10", "11", "12"):
        same(capabilities["available"].get(version), "stable", f"version {version}")
        room = u.create_room(room_version=version)
        same(u.get_state(room, "m.room.create")["room_version"], version)
    check(capabilities["default"] in ("10", "11", "12"))
    same(u.get_state(u.create_room(), "m.room.create")["room_version"], capabilities["default"])
    refused(u.call("POST", "createRoom", {"room_version": "nonsense"}), 400, "M_UNSUPPORTED_ROOM_VERSION")
    refused(u.call("POST", "createRoom", {"room_version": 11}), 400)


def test_creator_is_named_only_in_version_10(server):
    u = server.register()
    same(u.get_state(u.create_room(room_version="10"), "m.room.create").get("creator"), u.id)
    check("creator" not in u.get_state(u.create_room(room_version="11"), "m.room.create"))


def test_version_12_room_id_and_create_event_are_one_hash(server):
    u = server.register()
    room = u.create_room(room_version="12", name="x")
    create = u.full_state(room)["m.room.create", ""]
    check(":" not in room and room.startswith("!") and len(room) == 44, room)
    same(room[1:], create["event_id"][1:], "room id is the hash of the create event")
    older = u.create_room(room_version="11")
    check(older.endswith(":localhost"), older)


def test_version_12_creators_stand_outside_the_power_levels(server):
    u, v = server.users(2)
    room = u.create_room(room_version="12", preset="public_chat")
    levels = u.get_state(room, "m.room.power_levels")
    check(u.id not in levels.get("users", {}), f"{levels}")
    check(levels["events"]["m.room.tombstone"] > levels["events"].get("m.room.power_levels", 100), f"{levels}")
    v.join(room)
    u.state(room, "m.room.power_levels", {**levels, "users": {v.id: 100}})
    refused(v.call("POST", f"rooms/{quote(room)}/kick", {"user_id": u.id}), 403, "M_FORBIDDEN")
    refused(u.call("PUT", f"rooms/{quote(room)}/state/m.room.power_levels/", {**levels, "users": {u.id: 100}}), (400, 403))
    # An admin at 100 still cannot send what only creators can.
    refused(v.call("PUT", f"rooms/{quote(room)}/state/m.room.tombstone/", {"body": "b", "replacement_room": "!x"}), 403, "M_FORBIDDEN")


def test_version_12_additional_creators(server):
    u, v = server.users(2)
    room = u.create_room(room_version="12", preset="public_chat", creation_content={"additional_creators": [v.id]})
    v.join(room)
    v.state(room, "m.room.tombstone", {"body": "moved", "replacement_room": "!x"})
    refused(u.call("POST", "createRoom", {"room_version": "12", "creation_content": {"additional_creators": ["not a user id"]}}), 400)
    refused(u.call("POST", "createRoom", {"room_version": "12", "creation_content": {"additional_creators": "x"}}), 400)


def test_creation_content_is_kept(server):
    u = server.register()
    room = u.create_room(creation_content={"type": "m.space", "m.federate": False, "org.example": {"a": 1}})
    content = u.get_state(room, "m.room.create")
    same((content["type"], content["m.federate"], content["org.example"]), ("m.space", False, {"a": 1}))
    room = u.create_room(room_version="10", creation_content={"creator": "@evil:localhost", "room_version": "1"})
    content = u.get_state(room, "m.room.create")
    same((content["creator"], content["room_version"]), (u.id, "10"))


def test_power_level_content_override(server):
    u = server.register()
    room = u.create_room(room_version="11", power_level_content_override={"events_default": 50, "users": {u.id: 100, "@x:localhost": 7}})
    levels = u.get_state(room, "m.room.power_levels")
    same((levels["events_default"], levels["users"]), (50, {u.id: 100, "@x:localhost": 7}))
    check("state_default" in levels and "ban" in levels, "what is not overridden stays")
    refused(u.call("POST", "createRoom", {"power_level_content_override": "x"}), 400)


def test_default_power_levels(server):
    u = server.register()
    levels = u.get_state(u.create_room(room_version="11"), "m.room.power_levels")
    for key, value in (("users_default", 0), ("events_default", 0), ("state_default", 50), ("ban", 50), ("kick", 50), ("redact", 50)):
        same(levels.get(key, value), value, key)
    same(levels["users"][u.id], 100)


def test_a_bad_body_makes_no_room(server):
    u = server.register()
    before = u.get("joined_rooms")
    for body in ({"preset": "no_such"}, {"visibility": 7}, {"invite": "x"}, {"invite": ["nonsense"]}, {"initial_state": {}},
                 {"initial_state": [{"content": {}}]}, {"name": 5}, {"creation_content": []}, {"room_alias_name": "has space"},
                 {"room_alias_name": "a:b"}, {"initial_state": [{"type": "m.room.name", "content": 3}]}):
        refused(u.call("POST", "createRoom", body), 400)
    refused(u.call("POST", "createRoom", "[]"), 400)
    same(u.get("joined_rooms"), before, "joined rooms")


def test_joined_rooms(server):
    u = server.register()
    same(u.get("joined_rooms"), {"joined_rooms": []})
    rooms = {u.create_room() for _ in range(3)}
    same(set(u.get("joined_rooms")["joined_rooms"]), rooms)


def reference_hash(event, version):
    """The reference hash of the specification: redact, drop signatures and unsigned, hash the canonical JSON."""
    keep = {"event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth", "prev_events",
            "auth_events", "origin_server_ts"} | ({"origin", "membership", "prev_state"} if version == "10" else set())
    keys = {"m.room.member": ["membership", "join_authorised_via_users_server", "third_party_invite"],
            "m.room.join_rules": ["join_rule", "allow"], "m.room.history_visibility": ["history_visibility"],
            "m.room.power_levels": ["ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"]
            + ([] if version == "10" else ["invite"]),
            "m.room.create": ["creator"], "m.room.redaction": [] if version == "10" else ["redacts"]}
    content = event["content"]
    if not (event["type"] == "m.room.create" and version != "10"):
        content = {k: v for k, v in content.items() if k in keys.get(event["type"], [])}
    redacted = {k: v for k, v in event.items() if k in keep - {"signatures", "event_id"}}
    redacted["content"] = content
    return "$" + sha256_b64(canonical(redacted))


def test_event_ids_look_like_reference_hashes(server):
    u = server.register()
    for version in ("10", "11", "12"):
        room = u.create_room(room_version=version)
        for e in u.messages(room, dir="f", limit=20)["chunk"]:
            check(e["event_id"].startswith("$") and len(e["event_id"]) == 44 and ":" not in e["event_id"], e["event_id"])
            if "prev_events" in e:  # only in the federation format
                same(e["event_id"], reference_hash(e, version))


def test_event_fields_of_the_client_format(server):
    u = server.register()
    room = u.create_room()
    e = u.event(room, u.send(room, "hi"))
    same((e["room_id"], e["sender"], e["type"], e["content"]), (room, u.id, "m.room.message", {"msgtype": "m.text", "body": "hi"}))
    check(isinstance(e["origin_server_ts"], int) and e["origin_server_ts"] > 1_600_000_000_000)
    for inner in ("auth_events", "prev_events", "hashes", "depth", "signatures"):
        check(inner not in e, f"{inner} is not of the client format")
    create = find(u.get(f"rooms/{quote(room)}/state"), type="m.room.create")
    same(create["room_id"], room, "the create event has a room_id for clients, in version 12 too")
    check("m.federate" not in create["content"] or isinstance(create["content"]["m.federate"], bool))
    ok(u.call("GET", f"rooms/{quote(room)}/state"))
