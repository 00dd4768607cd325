"""Registration, log-in, user-interactive auth, sessions, devices, accounts."""

from harness import Server, check, eventually, in_parallel, ok, quote, refused, same, unique

V3 = "/_matrix/client/v3/"
SMOKE = ["test_register_and_log_in", "test_logout_ends_the_token"]


def uia(user, method, path, body=None, password=None):
    """Runs a request that wants the password: asks, gets 401 with flows, asks again with auth."""
    first = user.call(method, path, body or {})
    same(first.status, 401, "status of the first try")
    challenge = first.json
    check(any("m.login.password" in f["stages"] for f in challenge["flows"]), f"no password flow: {challenge}")
    auth = {"type": "m.login.password", "session": challenge["session"],
            "identifier": {"type": "m.id.user", "user": user.id}, "password": password or user.password}
    return user.call(method, path, {**(body or {}), "auth": auth})


def test_register_and_log_in(server):
    name = unique("reg")
    alice = server.register(name, "pass-word-9")
    same(alice.id, f"@{name}:localhost")
    same(alice.get("account/whoami"), {"user_id": alice.id, "device_id": alice.device, "is_guest": False})
    again = alice.login()
    check(again.device != alice.device and again.token != alice.token, "a new log-in makes a new device and token")
    same(again.get("account/whoami")["device_id"], again.device)


def test_register_asks_for_auth_first(server):
    body = {"username": unique("uia"), "password": "pass-word-9"}
    r = server.call("POST", V3 + "register", body)
    same(r.status, 401)
    check(r.json["session"] and r.json["flows"], "session and flows are given")
    check(any(f["stages"] == ["m.login.dummy"] for f in r.json["flows"]), "open registration offers the dummy stage")
    check("params" in r.json, "params is required in a 401 of user-interactive auth")
    check("access_token" not in r.json)
    done = ok(server.call("POST", V3 + "register", {**body, "auth": {"type": "m.login.dummy", "session": r.json["session"]}}))
    check(done["access_token"] and done["device_id"])


def test_register_with_only_the_session_afterwards_uses_the_first_parameters(server):
    name = unique("first")
    r = server.call("POST", V3 + "register", {"username": name, "password": "pass-word-9"})
    done = ok(server.call("POST", V3 + "register", {"auth": {"type": "m.login.dummy", "session": r.json["session"]}}))
    same(done["user_id"], f"@{name}:localhost")


def test_register_with_an_unknown_session_is_refused(server):
    r = server.call("POST", V3 + "register", {"username": unique("s"), "password": "pass-word-9",
                                              "auth": {"type": "m.login.dummy", "session": "no-such-session"}})
    check(r.status in (400, 401, 403), f"{r!r}")


def test_register_refuses_bad_names_and_taken_ones(server):
    auth = {"type": "m.login.dummy"}
    for bad in ("has space", "UPPER-é", "a:b", "@at", "x" * 250, "quer?y", "새", "a\u0000b"):
        refused(server.call("POST", V3 + "register", {"username": bad, "password": "p-w-123456", "auth": auth}), 400, "M_INVALID_USERNAME")
    taken = server.register()
    refused(server.call("POST", V3 + "register", {"username": taken.local, "password": "p-w-123456", "auth": auth}), 400, "M_USER_IN_USE")
    refused(server.call("POST", V3 + "register", {"username": taken.local, "password": "p-w-123456"}), 400, "M_USER_IN_USE")


def test_register_lower_cases_a_name(server):
    name = unique("Mixed")
    same(server.register(name).id, f"@{name.lower()}:localhost")


def test_register_allows_every_grammatical_character(server):
    name = unique("a._=-/+9")
    same(server.register(name).id, f"@{name}:localhost")


def test_register_without_a_name_makes_one(server):
    r = ok(server.call("POST", V3 + "register", {"password": "p-w-123456", "auth": {"type": "m.login.dummy"}}))
    check(r["user_id"].startswith("@") and r["user_id"].endswith(":localhost"))


def test_register_can_inhibit_login(server):
    r = ok(server.call("POST", V3 + "register", {"username": unique("i"), "password": "p-w-123456", "inhibit_login": True,
                                                 "auth": {"type": "m.login.dummy"}}))
    check("access_token" not in r and "device_id" not in r, f"{r}")


def test_register_takes_device_id_and_name(server):
    u = server.register(device_id="MYDEVICE", initial_device_display_name="My phone")
    same(u.device, "MYDEVICE")
    same(u.get("devices/MYDEVICE")["display_name"], "My phone")


def test_register_kind_must_be_known(server):
    r = server.call("POST", V3 + "register", {"username": unique("k")}, query={"kind": "martian"})
    refused(r, 400)


def test_guests_are_refused_by_default(server):
    r = server.call("POST", V3 + "register", {}, query={"kind": "guest"})
    check(r.status in (200, 403), f"{r!r}")
    if r.status == 403:
        refused(r, 403, ("M_GUEST_ACCESS_FORBIDDEN", "M_FORBIDDEN"))


def test_availability(server):
    path = V3 + "register/available"
    same(ok(server.call("GET", path, query={"username": unique("free")}))["available"], True)
    refused(server.call("GET", path, query={"username": server.register().local}), 400, "M_USER_IN_USE")
    refused(server.call("GET", path, query={"username": "not valid"}), 400, "M_INVALID_USERNAME")
    refused(server.call("GET", path), 400, ("M_MISSING_PARAM", "M_INVALID_USERNAME"))


def test_a_name_is_registered_once_even_at_once(server):
    name = unique("race")
    body = {"username": name, "password": "p-w-123456", "auth": {"type": "m.login.dummy"}}
    results = in_parallel([lambda: server.call("POST", V3 + "register", body) for _ in range(6)])
    same(sorted(r.status for r in results), [200] + [400] * 5)


def test_login_flows(server):
    flows = ok(server.call("GET", V3 + "login"))["flows"]
    check("m.login.password" in [f["type"] for f in flows])


def test_login_by_every_form_of_identifier(server):
    u = server.register()
    for body in ({"identifier": {"type": "m.id.user", "user": u.local}}, {"identifier": {"type": "m.id.user", "user": u.id}},
                 {"user": u.local}, {"user": u.id}, {"identifier": {"type": "m.id.user", "user": u.local.upper()}}):
        r = ok(server.call("POST", V3 + "login", {"type": "m.login.password", "password": u.password, **body}))
        same(r["user_id"], u.id, f"log-in with {body}")


def test_login_errors(server):
    u = server.register()
    who = {"identifier": {"type": "m.id.user", "user": u.id}}
    refused(server.call("POST", V3 + "login", {"type": "m.login.password", **who, "password": "wrong"}), 403, "M_FORBIDDEN")
    refused(server.call("POST", V3 + "login", {"type": "m.login.password", "password": "x",
                                               "identifier": {"type": "m.id.user", "user": "@nobody-here:localhost"}}), 403, "M_FORBIDDEN")
    refused(server.call("POST", V3 + "login", {"type": "m.login.password", "password": "x",
                                               "identifier": {"type": "m.id.user", "user": "@u:elsewhere.example"}}), 403, "M_FORBIDDEN")
    refused(server.call("POST", V3 + "login", {"type": "m.login.unheard", **who}), 400, ("M_UNKNOWN", "M_UNRECOGNIZED", "M_INVALID_PARAM"))
    refused(server.call("POST", V3 + "login", {"type": "m.login.password", "password": "x"}), 400)
    refused(server.call("POST", V3 + "login", {"type": "m.login.password", **who}), (400, 403))
    refused(server.call("POST", V3 + "login", {}), 400)
    refused(server.call("POST", V3 + "login", "{not json"), 400, "M_NOT_JSON")


def test_logging_in_again_with_a_device_id_replaces_its_token(server):
    u = server.register()
    again = u.login(device=u.device)
    same(again.device, u.device)
    refused(u.call("GET", "account/whoami"), 401, "M_UNKNOWN_TOKEN")
    same(len(again.get("devices")["devices"]), 1, "devices")


def test_wrong_and_missing_tokens(server):
    r = refused(server.call("GET", V3 + "account/whoami"), 401, "M_MISSING_TOKEN")
    check("soft_logout" not in r or r["soft_logout"] is False)
    refused(server.call("GET", V3 + "account/whoami", headers={"Authorization": "Bearer nonsense"}), 401, "M_UNKNOWN_TOKEN")
    refused(server.call("GET", V3 + "account/whoami", headers={"Authorization": "Basic abc"}), 401, "M_MISSING_TOKEN")
    refused(server.call("GET", V3 + "account/whoami", headers={"Authorization": "Bearer "}), 401, ("M_MISSING_TOKEN", "M_UNKNOWN_TOKEN"))


def test_logout_ends_the_token(server):
    u = server.register()
    other = u.login()
    u.post("logout")
    refused(u.call("GET", "account/whoami"), 401, "M_UNKNOWN_TOKEN")
    same([d["device_id"] for d in other.get("devices")["devices"]], [other.device])


def test_logout_all_ends_every_token(server):
    u = server.register()
    other = u.login()
    u.post("logout/all")
    for x in (u, other):
        refused(x.call("GET", "account/whoami"), 401, "M_UNKNOWN_TOKEN")


def test_refresh_tokens(server):
    u = server.register(refresh_token=True)
    check(u.refresh_token, "a refresh token is given when asked for")
    fresh = ok(server.call("POST", V3 + "refresh", {"refresh_token": u.refresh_token}))
    check(fresh["access_token"] != u.token)
    old = u.refresh_token
    u.token = fresh["access_token"]
    same(u.get("account/whoami")["device_id"], u.device, "the device stays the same")
    # The new token was used: the old refresh token is spent.
    refused(server.call("POST", V3 + "refresh", {"refresh_token": old}), (401, 403), ("M_UNKNOWN_TOKEN", "M_FORBIDDEN"))
    refused(server.call("POST", V3 + "refresh", {"refresh_token": "nonsense"}), (401, 403), ("M_UNKNOWN_TOKEN", "M_FORBIDDEN"))
    refused(server.call("POST", V3 + "refresh", {}), 400)


def test_refresh_may_be_retried_until_the_new_token_is_used(server):
    u = server.register(refresh_token=True)
    ok(server.call("POST", V3 + "refresh", {"refresh_token": u.refresh_token}))
    # The answer got lost; the client asks again.
    second = ok(server.call("POST", V3 + "refresh", {"refresh_token": u.refresh_token}))
    u.token = second["access_token"]
    u.get("account/whoami")


def test_no_refresh_token_unless_asked(server):
    r = ok(server.call("POST", V3 + "register", {"username": unique("n"), "password": "p-w-123456", "auth": {"type": "m.login.dummy"}}))
    check("refresh_token" not in r and "expires_in_ms" not in r, f"{r}")


def test_devices_are_listed_renamed_and_private(server):
    u, other = server.users(2)
    second = u.login(initial_device_display_name="Second")
    same({d["device_id"] for d in u.get("devices")["devices"]}, {u.device, second.device})
    same(u.get(f"devices/{second.device}")["display_name"], "Second")
    u.put(f"devices/{second.device}", {"display_name": "Renamed"})
    same(u.get(f"devices/{second.device}")["display_name"], "Renamed")
    check("last_seen_ts" in u.get(f"devices/{u.device}"), "last_seen_ts")
    refused(other.call("GET", f"devices/{u.device}"), 404, "M_NOT_FOUND")
    refused(other.call("PUT", f"devices/{u.device}", {"display_name": "x"}), 404, "M_NOT_FOUND")
    refused(u.call("GET", "devices/NOSUCH"), 404, "M_NOT_FOUND")


def test_deleting_a_device_wants_the_password_and_logs_it_out(server):
    u = server.register()
    second, third, fourth = u.login(), u.login(), u.login()
    ok(uia(u, "DELETE", f"devices/{second.device}"))
    refused(second.call("GET", "account/whoami"), 401, "M_UNKNOWN_TOKEN")
    ok(uia(u, "POST", "delete_devices", {"devices": [third.device, fourth.device]}))
    refused(third.call("GET", "account/whoami"), 401, "M_UNKNOWN_TOKEN")
    same([d["device_id"] for d in u.get("devices")["devices"]], [u.device])


def test_user_interactive_auth_refuses_a_wrong_password_and_lets_try_again(server):
    u = server.register()
    second = u.login()
    wrong = uia(u, "DELETE", f"devices/{second.device}", password="wrong")
    same(wrong.status, 401)
    same(wrong.json["errcode"], "M_FORBIDDEN")
    check("flows" in wrong.json and "session" in wrong.json, "the flows are given again")
    auth = {"type": "m.login.password", "session": wrong.json["session"], "user": u.id, "password": u.password}
    ok(u.call("DELETE", f"devices/{second.device}", {"auth": auth}))


def test_user_interactive_auth_is_bound_to_its_operation(server):
    u = server.register()
    a, b = u.login(), u.login()
    session = u.call("DELETE", f"devices/{a.device}", {}).json["session"]
    auth = {"type": "m.login.password", "session": session, "user": u.id, "password": u.password}
    r = u.call("POST", "account/deactivate", {"auth": auth})
    check(r.status in (400, 401, 403), f"a session of one operation must not open another: {r!r}")
    b.get("account/whoami")


def test_another_users_password_does_not_authorise(server):
    u, mallory = server.users(2)
    second = u.login()
    r = u.call("DELETE", f"devices/{second.device}", {})
    auth = {"type": "m.login.password", "session": r.json["session"], "user": mallory.id, "password": mallory.password}
    r = u.call("DELETE", f"devices/{second.device}", {"auth": auth})
    check(r.status in (401, 403), f"{r!r}")


def test_changing_the_password(server):
    u = server.register()
    other = u.login()
    ok(uia(u, "POST", "account/password", {"new_password": "brand-new-1"}))
    u.get("account/whoami")
    refused(other.call("GET", "account/whoami"), 401, "M_UNKNOWN_TOKEN")
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": u.id}}
    refused(server.call("POST", V3 + "login", {**body, "password": u.password}), 403, "M_FORBIDDEN")
    ok(server.call("POST", V3 + "login", {**body, "password": "brand-new-1"}))


def test_changing_the_password_can_keep_the_other_devices(server):
    u = server.register()
    other = u.login()
    ok(uia(u, "POST", "account/password", {"new_password": "brand-new-1", "logout_devices": False}))
    other.get("account/whoami")


def test_deactivation(server):
    u, friend = server.users(2)
    room = friend.create_room(preset="public_chat")
    u.join(room)
    r = ok(uia(u, "POST", "account/deactivate"))
    check(r["id_server_unbind_result"] in ("success", "no-support"), f"{r}")
    refused(u.call("GET", "account/whoami"), 401, "M_UNKNOWN_TOKEN")
    refused(server.call("POST", V3 + "login", {"type": "m.login.password", "user": u.id, "password": u.password}), 403,
            ("M_FORBIDDEN", "M_USER_DEACTIVATED"))
    refused(server.call("GET", V3 + "register/available", query={"username": u.local}), 400, "M_USER_IN_USE")
    eventually(lambda: friend.membership(room, u) == "leave", "the deactivated user leaves the rooms")


def test_whoami_of_a_guestless_user(server):
    r = server.register().get("account/whoami")
    same(r.get("is_guest", False), False)


def test_third_party_ids_are_an_empty_list(server):
    same(server.register().get("account/3pid"), {"threepids": []})


def test_openid_token(server):
    u, other = server.users(2)
    r = u.post(f"user/{quote(u.id)}/openid/request_token")
    same(r["token_type"], "Bearer")
    same(r["matrix_server_name"], "localhost")
    check(r["access_token"] and r["expires_in"] > 0)
    refused(u.call("POST", f"user/{quote(other.id)}/openid/request_token"), 403, "M_FORBIDDEN")


def test_registration_token_validity_answers(server):
    r = server.call("GET", "/_matrix/client/v1/register/m.login.registration_token/validity", query={"token": "nope"})
    check(r.status in (200, 403, 404), f"{r!r}")
    if r.status == 200:
        same(r.json, {"valid": False})


def test_access_token_in_the_query(server):
    u = server.register()
    same(ok(server.call("GET", V3 + "account/whoami", query={"access_token": u.token}))["user_id"], u.id)
    same(ok(server.call("GET", "/_matrix/client/r0/account/whoami", query={"access_token": u.token}))["user_id"], u.id)
    refused(server.call("GET", V3 + "account/whoami", query={"access_token": "bad"}), 401, "M_UNKNOWN_TOKEN")


def test_closed_registration(server):
    with Server(flags=("--no-rate-limits",)) as closed:
        r = closed.call("POST", V3 + "register", {"username": "a", "password": "p-w-123456", "auth": {"type": "m.login.dummy"}})
        refused(r, 403, ("M_FORBIDDEN", "M_REGISTRATION_DISABLED"))
