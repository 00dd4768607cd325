#include <set>

#include "messenger/errc.hpp"
#include "messenger/keys/tests/fixture.hpp"

namespace haechi::messenger::test {
namespace {

json::object one_time(std::initializer_list<std::string> ids, std::string_view value = "k") {
  json::object keys;
  for (const auto& id : ids) keys["signed_curve25519:" + id] = json::object{{"key", value}};
  return {{"one_time_keys", keys}};
}

std::string claimed(Node& node, const std::string& user, const std::string& device) {
  const auto answer = obj(node.run(
      node.device_keys->claim({{"one_time_keys", json::object{{user, json::object{{device, "signed_curve25519"}}}}}})));
  const auto* of_user = get_object(*get_object(answer, "one_time_keys"), user);
  if (!of_user) return "";
  return get_object(*of_user, device)->begin()->key();
}

json::object device_keys_of(const std::string& user, const std::string& device, std::string_view key = "x") {
  return {{"user_id", user},
          {"device_id", device},
          {"algorithms", json::array{"a"}},
          {"keys", json::object{{"ed25519:" + device, key}}},
          {"signatures", json::object{{user, json::object{{"ed25519:" + device, "s"}}}}}};
}

std::int64_t count_of(const std::string& answer) {
  return *get_int(*get_object(obj(answer), "one_time_key_counts"), "signed_curve25519");
}

}  // namespace

TEST_CASE("one-time keys are claimed oldest first, each once, then the fallback key for ever") {
  Node node;
  node.add_device(kAlice, "A");
  node.run(node.device_keys->upload(kAlice, "A", one_time({"z"})));
  CHECK(count_of(node.run(node.device_keys->upload(kAlice, "A", one_time({"a", "b"})))) == 3);
  node.run(node.device_keys->upload(
      kAlice, "A", {{"fallback_keys", json::object{{"signed_curve25519:f", json::object{{"key", "f"}}}}}}));
  const auto alice = node.user(kAlice);
  CHECK(node.run(node.device_keys->key_counts(alice, "A")).one_time == R"({"signed_curve25519":3})");
  CHECK(node.run(node.device_keys->key_counts(alice, "A")).unused_fallback == R"(["signed_curve25519"])");

  std::vector<std::string> got;
  for (int i = 0; i < 5; ++i) got.push_back(claimed(node, kAlice, "A"));
  CHECK(got == std::vector<std::string>{"signed_curve25519:z", "signed_curve25519:a", "signed_curve25519:b",
                                        "signed_curve25519:f", "signed_curve25519:f"});
  CHECK(node.run(node.device_keys->key_counts(alice, "A")).one_time == R"({"signed_curve25519":0})");
  CHECK(node.run(node.device_keys->key_counts(alice, "A")).unused_fallback == "[]");
}

TEST_CASE("claims that run together never get the same key") {
  Node node;
  node.add_device(kAlice, "A");
  node.run(node.device_keys->upload(kAlice, "A", one_time({"1", "2", "3", "4", "5"})));
  std::vector<std::string> answers;
  Scope scope;
  const auto claim = [](Node& n, std::vector<std::string>& out) -> Task<void> {
    auto r = co_await n.device_keys->claim(
        {{"one_time_keys", json::object{{kAlice, json::object{{"A", "signed_curve25519"}}}}}});
    out.push_back(must(std::move(r)));
  };
  for (int i = 0; i < 8; ++i) scope.spawn(claim(node, answers));
  node.loop.run(scope.join());
  std::set<std::string> keys;
  std::size_t empty = 0;
  for (const auto& a : answers) {
    const auto given = *get_object(obj(a), "one_time_keys");
    if (given.empty()) ++empty;
    else keys.insert(to_text(given));
  }
  CHECK(keys.size() == 5);
  CHECK(empty == 3);
}

TEST_CASE("the same one-time key again changes nothing, another under its name is refused with all that came along") {
  Node node;
  node.add_device(kAlice, "A");
  node.run(node.device_keys->upload(kAlice, "A", one_time({"a", "b"})));
  CHECK(count_of(node.run(node.device_keys->upload(kAlice, "A", one_time({"b", "c"})))) == 3);
  CHECK(node.error_of(node.device_keys->upload(kAlice, "A", one_time({"d", "a"}, "other"))).is(Errc::InvalidParam));
  CHECK(count_of(node.run(node.device_keys->upload(kAlice, "A", {}))) == 3);
}

TEST_CASE("uploads that are refused") {
  Node node;
  node.add_device(kAlice, "A");
  const std::pair<json::object, Errc> rows[] = {
      {{{"device_keys", 5}}, Errc::BadJson},
      {{{"device_keys", json::object{{"user_id", kAlice}, {"device_id", "A"}}}}, Errc::BadJson},
      {{{"device_keys", device_keys_of(kBob, "A")}}, Errc::InvalidParam},
      {{{"device_keys", device_keys_of(kAlice, "B")}}, Errc::InvalidParam},
      {{{"one_time_keys", json::object{{"nocolon", "x"}}}}, Errc::InvalidParam},
      {{{"one_time_keys", json::object{{":x", "x"}}}}, Errc::InvalidParam},
      {{{"one_time_keys", json::object{{"a:x", 5}}}}, Errc::BadJson},
      {{{"fallback_keys", json::array{}}}, Errc::BadJson},
  };
  for (const auto& [body, expected] : rows) {
    CAPTURE(to_text(body));
    CHECK(node.error_of(node.device_keys->upload(kAlice, "A", body)).is(expected));
  }
}

TEST_CASE("a removed device leaves no key and no mail behind") {
  Node node;
  node.add_device(kAlice, "A");
  auto body = one_time({"a"});
  body["device_keys"] = device_keys_of(kAlice, "A");
  node.run(node.device_keys->upload(kAlice, "A", body));
  node.remove_device(kAlice, "A");
  CHECK(claimed(node, kAlice, "A").empty());
  const auto answer =
      obj(node.run(node.device_keys->query(kBob, {{"device_keys", json::object{{kAlice, json::array{}}}}})));
  CHECK(get_object(*get_object(answer, "device_keys"), kAlice)->empty());
  CHECK_FALSE(node.loop.run(node.device_keys->upload(kAlice, "A", one_time({"b"}))));
}

TEST_CASE("a query shows chosen devices or all, with their names") {
  Node node;
  node.add_device(kAlice, "A");
  node.add_device(kAlice, "B");
  for (const std::string d : {"A", "B"}) {
    node.run(node.device_keys->upload(kAlice, d, {{"device_keys", device_keys_of(kAlice, d)}}));
  }
  const auto devices = [&](json::array wanted) {
    const auto answer =
        obj(node.run(node.device_keys->query(kBob, {{"device_keys", json::object{{kAlice, std::move(wanted)}}}})));
    std::set<std::string> out;
    for (const auto& [device, keys] : *get_object(*get_object(answer, "device_keys"), kAlice)) out.emplace(device);
    return out;
  };
  CHECK(devices({}) == std::set<std::string>{"A", "B"});
  CHECK(devices({"B", "NONE"}) == std::set<std::string>{"B"});
  CHECK(node.error_of(node.device_keys->query(kBob, {{"device_keys", json::object{{kAlice, json::object{}}}}}))
            .is(Errc::BadJson));
}

}  // namespace haechi::messenger::test
