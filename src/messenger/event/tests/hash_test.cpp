#include "messenger/event/hash.hpp"

#include <doctest/doctest.h>

#include "base/text.hpp"
#include "messenger/event/canonical.hpp"
#include "messenger/event/draft.hpp"
#include "messenger/event/event_errc.hpp"
#include "messenger/event/redact.hpp"
#include "messenger/event/signing.hpp"

using namespace haechi;
using namespace haechi::messenger;

namespace {

// https://spec.matrix.org/latest/appendices/#cryptographic-test-vectors
SigningSeed spec_seed() {
  // The appendix ends in "A1": its last two bits belong to no byte, and the strict decoder wants them zero.
  const auto bytes = base64_decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA0");
  REQUIRE(bytes);
  SigningSeed seed{};
  std::copy(bytes->begin(), bytes->end(), seed.begin());
  return seed;
}

std::string signature_of(const json::object& o) {
  return std::string(*get_string(*get_object(*get_object(o, "signatures"), "domain"), "ed25519:1"));
}

std::string canonical_text(std::string_view text) {
  const auto value = parse_json(text);
  REQUIRE(value);
  std::string out;
  const auto done = append_canonical(out, *value);
  return done ? out : "refused";
}

}  // namespace

TEST_CASE("canonical JSON is what the specification's examples say") {
  struct Row {
    const char* in;
    const char* out;
  };
  const Row rows[] = {
      {"{}", "{}"},
      {R"({"one": 1, "two": "Two"})", R"({"one":1,"two":"Two"})"},
      {R"({"b": "2", "a": "1"})", R"({"a":"1","b":"2"})"},
      {R"({"b":"2","a":"1"})", R"({"a":"1","b":"2"})"},
      {R"({"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe",
          "three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}})",
       R"({"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}})"},
      {R"({"a": "日本語"})", R"({"a":"日本語"})"},
      {R"({"本": 2, "日": 1})", R"({"日":1,"本":2})"},
      {R"({"a": "\u65E5"})", R"({"a":"日"})"},
      {R"({"a": null})", R"({"a":null})"},
      {R"({"a": -0, "b": 10})", R"({"a":0,"b":10})"},
      {R"({"a": 1.0})", "refused"},
      {R"({"a": 1e10})", "refused"},
      {R"({"a": [0.5]})", "refused"},
      {"9007199254740991", "9007199254740991"},
      {"-9007199254740991", "-9007199254740991"},
      {"9007199254740992", "refused"},
      {"-9007199254740992", "refused"},
      {"18446744073709551615", "refused"},
      {"123456789012345678901234567890", "refused"},
      // By code point, not by UTF-16 unit: U+FFFD comes before U+1F525.
      {R"({"🔥":1,"�":2})", R"({"�":2,"🔥":1})"},
      {R"({"a":"\u0000\u001f\u007f\/"})", "{\"a\":\"\\u0000\\u001f\x7f/\"}"},
      {R"({"":[],"a":[{}, [], true, false]})", R"({"":[],"a":[{},[],true,false]})"},
  };
  for (const auto& r : rows) {
    CAPTURE(r.in);
    CHECK(canonical_text(r.in) == r.out);
    CHECK(check_event_json(*parse_json(r.in)).has_value() == (std::string_view(r.out) != "refused"));
  }
}

TEST_CASE("large objects are sorted as small ones are") {
  json::object o;
  for (int i = 99; i >= 0; --i) o[std::to_string(1000 + i)] = i;
  const auto text = *canonical(o);
  CHECK(text.starts_with(R"({"1000":0,"1001":1,)"));
  CHECK(text.ends_with(R"("1099":99})"));
}

TEST_CASE("nesting beyond the limit is refused, not followed") {
  json::value v = 1;
  for (std::size_t i = 0; i < kJsonDepthMax + 5; ++i) v = json::array{std::move(v)};
  std::string out;
  CHECK(append_canonical(out, v).error().is(EventErrc::BadJson));
  CHECK_FALSE(check_event_json(v));
}

TEST_CASE("JSON is signed as in the specification's vectors") {
  json::object empty;
  REQUIRE(sign_json(empty, "domain", "ed25519:1", spec_seed()));
  CHECK(signature_of(empty) ==
        "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ");

  json::object two = must_parse_object(R"({"one":1,"two":"Two","unsigned":{"x":1}})");
  REQUIRE(sign_json(two, "domain", "ed25519:1", spec_seed()));
  CHECK(signature_of(two) == "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw");

  const auto key = verify_key_of(spec_seed());
  CHECK(verify_json(two, "domain", "ed25519:1", key));
  CHECK_FALSE(verify_json(two, "domain", "ed25519:2", key));
  CHECK_FALSE(verify_json(two, "other", "ed25519:1", key));
  two["one"] = 2;
  CHECK_FALSE(verify_json(two, "domain", "ed25519:1", key));
}

TEST_CASE("events are hashed and signed as in the specification's vectors") {
  // The vectors keep `origin` on redaction: the rules before version 11.
  struct Row {
    const char* event;
    const char* hash;
    const char* signature;
  };
  const Row rows[] = {
      {R"({"room_id":"!x:domain","sender":"@a:domain","origin":"domain","origin_server_ts":1000000,"signatures":{},
           "hashes":{},"type":"X","content":{},"prev_events":[],"auth_events":[],"depth":3,"unsigned":{"age_ts":1000000}})",
       "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
       "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg"},
      {R"({"content":{"body":"Here is the message content"},"event_id":"$0:domain","origin":"domain",
           "origin_server_ts":1000000,"type":"m.room.message","room_id":"!r:domain","sender":"@u:domain",
           "signatures":{},"unsigned":{"age_ts":1000000}})",
       "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
       "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA"},
  };
  for (const auto& r : rows) {
    auto event = must_parse_object(r.event);
    const auto hash = base64_encode(*content_hash(event));
    CHECK(hash == r.hash);
    event["hashes"] = json::object{{"sha256", hash}};
    REQUIRE(sign_event(event, kRoomVersion10, "domain", "ed25519:1", spec_seed()));
    CHECK(signature_of(event) == r.signature);
  }
}

TEST_CASE("redaction keeps what each room version says") {
  struct Row {
    const char* type;
    const char* content;
    const char* v10;
    const char* v11;
  };
  const Row rows[] = {
      {"m.room.message", R"({"body":"x","msgtype":"m.text"})", "{}", "{}"},
      {"m.room.name", R"({"name":"x"})", "{}", "{}"},
      {"m.room.topic", R"({"topic":"x"})", "{}", "{}"},
      {"m.room.aliases", R"({"aliases":["#a:b"]})", "{}", "{}"},
      {"m.room.member", R"({"membership":"join","displayname":"A","join_authorised_via_users_server":"@b:h"})",
       R"({"join_authorised_via_users_server":"@b:h","membership":"join"})",
       R"({"join_authorised_via_users_server":"@b:h","membership":"join"})"},
      {"m.room.member", R"({"membership":"invite","third_party_invite":{"display_name":"A","signed":{"token":"t"}}})",
       R"({"membership":"invite"})", R"({"membership":"invite","third_party_invite":{"signed":{"token":"t"}}})"},
      {"m.room.create", R"({"creator":"@a:h","room_version":"10","m.federate":false,"type":"m.space"})",
       R"({"creator":"@a:h"})", R"({"creator":"@a:h","m.federate":false,"room_version":"10","type":"m.space"})"},
      {"m.room.join_rules", R"({"join_rule":"restricted","allow":[{"x":1}],"y":2})",
       R"({"allow":[{"x":1}],"join_rule":"restricted"})", R"({"allow":[{"x":1}],"join_rule":"restricted"})"},
      {"m.room.power_levels",
       R"({"ban":1,"events":{"a":1},"events_default":2,"invite":3,"kick":4,"notifications":{"room":5},"redact":6,"state_default":7,"users":{"@a:h":8},"users_default":9})",
       R"({"ban":1,"events":{"a":1},"events_default":2,"kick":4,"redact":6,"state_default":7,"users":{"@a:h":8},"users_default":9})",
       R"({"ban":1,"events":{"a":1},"events_default":2,"invite":3,"kick":4,"redact":6,"state_default":7,"users":{"@a:h":8},"users_default":9})"},
      {"m.room.history_visibility", R"({"history_visibility":"shared","x":1})", R"({"history_visibility":"shared"})",
       R"({"history_visibility":"shared"})"},
      {"m.room.redaction", R"({"redacts":"$x","reason":"r"})", "{}", R"({"redacts":"$x"})"},
  };
  for (const auto& r : rows) {
    CAPTURE(r.type);
    const json::object event{{"type", r.type}, {"content", must_parse_object(r.content)}};
    const auto kept = [&](const RoomVersion& v) { return *canonical(*get_object(redact(event, v), "content")); };
    CHECK(kept(kRoomVersion10) == r.v10);
    CHECK(kept(kRoomVersion11) == r.v11);
    CHECK(kept(kRoomVersion12) == r.v11);
  }
  const auto event = must_parse_object(
      R"({"type":"x","content":7,"origin":"o","membership":"m","prev_state":[],"redacts":"$r","unsigned":{},"depth":1,
          "room_id":"!r","sender":"@a:h","state_key":"","origin_server_ts":1,"hashes":{},"signatures":{},"event_id":"$e","age":1})");
  CHECK(redact(event, kRoomVersion10).size() == 13);
  CHECK(redact(event, kRoomVersion11).size() == 10);
  CHECK(*canonical(*get_object(redact(event, kRoomVersion11), "content")) == "{}");
  CHECK(redacts_of(event, kRoomVersion10) == "$r");
  CHECK(redacts_of(event, kRoomVersion11) == "");
}

namespace {

struct Dice {
  std::uint64_t state;
  std::uint64_t operator()(std::uint64_t sides) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % sides;
  }
};

std::string random_text(Dice& dice) {
  static constexpr std::string_view kParts[] = {"a",  "Z", "\"", "\\",   "\n",   "\x01", "해",
                                                "🔥", "é", "/",  "\x7f", "@a:h", "0"};
  std::string out;
  for (auto n = dice(12); n > 0; --n) out += kParts[dice(std::size(kParts))];
  return out;
}

json::value random_value(Dice& dice, int depth) {
  switch (dice(depth > 0 ? 7 : 5)) {
    case 0: return nullptr;
    case 1: return dice(2) == 0;
    case 2: return static_cast<std::int64_t>(dice(1'000'000)) - 500'000;
    case 3:
    case 4: return json::value(random_text(dice));
    case 5: {
      json::array a;
      for (auto n = dice(4); n > 0; --n) a.push_back(random_value(dice, depth - 1));
      return a;
    }
    default: {
      json::object o;
      for (auto n = dice(6); n > 0; --n) o[random_text(dice)] = random_value(dice, depth - 1);
      return o;
    }
  }
}

}  // namespace

TEST_CASE("events built by text have the hashes that the slow way finds") {
  static constexpr const char* kTypes[] = {"m.room.message",
                                           "m.room.member",
                                           "m.room.create",
                                           "m.room.power_levels",
                                           "m.room.join_rules",
                                           "m.room.redaction",
                                           "m.room.history_visibility",
                                           "x.\"y"};
  static constexpr const char* kKeys[] = {
      "membership",         "creator", "join_rule", "allow", "invite", "users", "ban", "redacts", "third_party_invite",
      "history_visibility", "body"};
  Dice dice{42};
  for (int round = 0; round < 3000; ++round) {
    const auto& version = *room_versions()[dice(3)];
    json::object content;
    for (auto n = dice(6); n > 0; --n) content[kKeys[dice(std::size(kKeys))]] = random_value(dice, 3);
    if (dice(4) == 0) content["third_party_invite"] = json::object{{"signed", random_value(dice, 2)}, {"x", 1}};
    const std::string content_text = *canonical(content);
    const std::string sender = "@" + random_text(dice) + ":h";
    const std::string state_key = random_text(dice);
    const std::vector<std::string_view> prev(dice(3), "$prev");
    const std::vector<std::string_view> auth(dice(4), "$auth_-");
    EventDraft d{.room_id = dice(5) == 0 ? "" : "!room:h",
                 .sender = sender,
                 .type = kTypes[dice(std::size(kTypes))],
                 .content_text = content_text,
                 .content = dice(3) == 0 ? nullptr : &content,
                 .origin_server_ts = static_cast<std::int64_t>(dice(1u << 30)),
                 .prev_events = prev,
                 .auth_events = auth,
                 .depth = static_cast<std::int64_t>(dice(1000))};
    if (dice(2) == 0) d.state_key = state_key;
    if (dice(4) == 0) d.redacts = "$redacted";
    const auto built = build_event(version, d);
    REQUIRE(built);
    const auto parsed = must_parse_object(built->json);
    CAPTURE(built->json);
    REQUIRE(*canonical(parsed) == built->json);
    REQUIRE(get_string(*get_object(parsed, "hashes"), "sha256") == base64_encode(*content_hash(parsed)));
    REQUIRE(*event_id_of(parsed, version) == built->event_id);
  }
}

TEST_CASE("the limits of an event and its fields are kept") {
  const std::string ok(255, 'x');
  const std::string over(256, 'x');
  const auto built = [](auto change) {
    EventDraft d{.room_id = "!r:h", .sender = "@a:h", .type = "t", .content_text = "{}"};
    change(d);
    const auto result = build_event(kRoomVersion11, d);
    return result ? std::error_code{} : result.error().code;
  };
  const auto too_large = make_error_code(EventErrc::TooLarge);
  CHECK_FALSE(built([&](auto& d) {
    d.sender = d.room_id = d.type = ok;
    d.state_key = ok;
  }));
  CHECK(built([&](auto& d) { d.sender = over; }) == too_large);
  CHECK(built([&](auto& d) { d.room_id = over; }) == too_large);
  CHECK(built([&](auto& d) { d.type = over; }) == too_large);
  CHECK(built([&](auto& d) { d.state_key = over; }) == too_large);
  CHECK(built([&](auto& d) { d.type = "\xff"; }) == make_error_code(EventErrc::BadJson));
  const std::string fits = R"({"body":")" + std::string(64'000, 'x') + R"("})";
  const std::string bursts = R"({"body":")" + std::string(65'536, 'x') + R"("})";
  CHECK_FALSE(built([&](auto& d) { d.content_text = fits; }));
  CHECK(built([&](auto& d) { d.content_text = bursts; }) == too_large);
}

TEST_CASE("a version 12 room is named after its create event") {
  const auto content = must_parse_object(R"({"room_version":"12"})");
  const auto built = build_event(kRoomVersion12, {.sender = "@a:h",
                                                  .type = "m.room.create",
                                                  .state_key = "",
                                                  .content_text = R"({"room_version":"12"})",
                                                  .content = &content});
  REQUIRE(built);
  CHECK_FALSE(must_parse_object(built->json).contains("room_id"));
  const auto room_id = room_id_from_create(built->event_id);
  CHECK(room_id.size() == 44);
  CHECK(create_id_from_room(room_id) == built->event_id);
}
