"""What a client may try that nobody should."""

from harness import check, quote, refused, same


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def restricted_room(owner):
    rules = {"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": []}}
    return owner.create_room(room_version="10", initial_state=[rules])


def test_nobody_joins_a_restricted_room_by_naming_a_voucher_themselves(server):
    owner, stranger = server.users(2)
    room = restricted_room(owner)
    forged = {"membership": "join", "join_authorised_via_users_server": owner.id}
    refused(stranger.call("PUT", f"rooms/{quote(room)}/state/m.room.member/{quote(stranger.id)}", forged), 403)


def test_who_may_join_a_restricted_room_may_do_so_by_a_state_event(server):
    owner, member = server.users(2)
    hall = owner.create_room(preset="public_chat")
    member.join(hall)
    allow = [{"type": "m.room_membership", "room_id": hall}]
    rules = {"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": allow}}
    room = owner.create_room(room_version="10", initial_state=[rules])
    member.state(room, "m.room.member", {"membership": "join"}, member.id)
    same(owner.get_state(room, "m.room.member", member.id)["join_authorised_via_users_server"], owner.id)


def test_bodies_nested_too_deeply_are_refused_wherever_they_go(server):
    user = server.users(1)[0]
    room = user.create_room()
    for path in (f"rooms/{quote(room)}/send/m.room.message/deep", f"user/{quote(user.id)}/account_data/org.example.deep"):
        for depth in (81, 99, 100, 5000):
            refused(user.call("PUT", path, b'{"a":' * depth + b"1" + b"}" * depth), 400)
        user.put(path, nested(80))
    check(user.sync()["rooms"]["join"][room])


def test_a_deep_one_time_key_is_given_out_like_any_other(server):
    owner, other = server.users(2)
    owner.post("keys/upload", {"one_time_keys": {"signed_curve25519:AAAA": nested(70)}})
    given = other.post("keys/claim", {"one_time_keys": {owner.id: {owner.device: "signed_curve25519"}}})
    same(given["one_time_keys"][owner.id][owner.device]["signed_curve25519:AAAA"], nested(70))


def test_a_filter_has_a_size(server):
    user = server.users(1)[0]
    refused(user.call("POST", f"user/{quote(user.id)}/filter", {"org.example.padding": "x" * 70_000}), 413)
