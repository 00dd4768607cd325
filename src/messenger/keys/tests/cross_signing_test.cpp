#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/event/signing.hpp"
#include "messenger/keys/tests/fixture.hpp"

namespace haechi::messenger::test {
namespace {

struct Key {
  SigningSeed seed{};
  std::string name;
  explicit Key(std::uint8_t n) {
    seed.fill(n);
    name = base64_encode(verify_key_of(seed));
  }
  std::string id() const { return "ed25519:" + name; }
  void sign(json::object& o, const std::string& user) const { must(sign_json(o, user, id(), seed)); }
};

json::object public_part(const std::string& user, std::string_view usage, const Key& key) {
  return {{"user_id", user}, {"usage", json::array{usage}}, {"keys", json::object{{key.id(), key.name}}}};
}

struct Identity {
  std::string user;
  Key master, self, other;
  Identity(std::string id, std::uint8_t n)
      : user(std::move(id)),
        master(n),
        self(static_cast<std::uint8_t>(n + 1)),
        other(static_cast<std::uint8_t>(n + 2)) {}
  json::object body() const {
    auto s = public_part(user, "self_signing", self);
    auto u = public_part(user, "user_signing", other);
    master.sign(s, user);
    master.sign(u, user);
    return {{"master_key", public_part(user, "master", master)}, {"self_signing_key", s}, {"user_signing_key", u}};
  }
};

json::object device_of(const std::string& user, const std::string& device, const SigningSeed& seed) {
  json::object keys{{"user_id", user},
                    {"device_id", device},
                    {"algorithms", json::array{"a"}},
                    {"keys", json::object{{"ed25519:" + device, base64_encode(verify_key_of(seed))}}}};
  must(sign_json(keys, user, "ed25519:" + device, seed));
  return keys;
}

json::object query(Node& node, const std::string& viewer, const std::string& user) {
  return obj(node.run(node.device_keys->query(viewer, {{"device_keys", json::object{{user, json::array{}}}}})));
}
json::object failures(Node& node, const std::string& user, json::object body) {
  return *get_object(obj(node.run(node.cross_signing->upload_signatures(user, std::move(body)))), "failures");
}
const json::object* signatures(const json::object& key, std::string_view by) {
  const auto* all = get_object(key, "signatures");
  return all ? get_object(*all, by) : nullptr;
}

using Upload = CrossSigning::Upload;

}  // namespace

TEST_CASE("the first cross-signing keys and the same again need no proof, others do") {
  Node node;
  auto& cs = *node.cross_signing;
  const Identity first(kAlice, 1), second(kAlice, 10);
  CHECK(node.run(cs.upload_keys(kAlice, first.body(), Reauthenticated::No)) == Upload::Done);
  CHECK(node.run(cs.upload_keys(kAlice, first.body(), Reauthenticated::No)) == Upload::Done);
  CHECK(node.run(cs.upload_keys(kAlice, second.body(), Reauthenticated::No)) == Upload::NeedsAuth);
  CHECK(node.run(cs.upload_keys(kAlice, second.body(), Reauthenticated::Yes)) == Upload::Done);
  const auto seen = query(node, kBob, kAlice);
  CHECK(get_object(*get_object(seen, "master_keys"), kAlice)->at("keys").as_object().contains(second.master.id()));
  CHECK(get_object(*get_object(seen, "self_signing_keys"), kAlice));
  CHECK_FALSE(get_object(*get_object(seen, "user_signing_keys"), kAlice));
  CHECK(get_object(*get_object(query(node, kAlice, kAlice), "user_signing_keys"), kAlice));
}

TEST_CASE("cross-signing keys that are refused") {
  Node node;
  auto& cs = *node.cross_signing;
  const Identity alice(kAlice, 1), other(kAlice, 10);
  auto forged = alice.body();
  forged["self_signing_key"] = other.body()["self_signing_key"];
  CHECK(node.error_of(cs.upload_keys(kAlice, forged, Reauthenticated::No)).is(Errc::InvalidSignature));
  json::object no_master{{"self_signing_key", alice.body()["self_signing_key"]}};
  CHECK(node.error_of(cs.upload_keys(kAlice, no_master, Reauthenticated::No)).is(Errc::MissingParam));
  CHECK(node.error_of(cs.upload_keys(kBob, alice.body(), Reauthenticated::No)).is(Errc::InvalidParam));
  json::object two{{"master_key", public_part(kAlice, "master", alice.master)}};
  two["master_key"].as_object()["keys"].as_object()["ed25519:b"] = "b";
  CHECK(node.error_of(cs.upload_keys(kAlice, two, Reauthenticated::No)).is(Errc::InvalidParam));
  CHECK(node.error_of(cs.upload_keys(kAlice, {{"master_key", 5}}, Reauthenticated::No)).is(Errc::BadJson));
}

TEST_CASE("signatures are verified, merged and shown to whom they concern") {
  Node node;
  const Identity alice(kAlice, 1), bob(kBob, 20);
  SigningSeed device_seed{};
  device_seed.fill(99);
  node.add_device(kAlice, "A");
  node.run(node.device_keys->upload(kAlice, "A", {{"device_keys", device_of(kAlice, "A", device_seed)}}));
  node.run(node.cross_signing->upload_keys(kAlice, alice.body(), Reauthenticated::No));
  node.run(node.cross_signing->upload_keys(kBob, bob.body(), Reauthenticated::No));

  SUBCASE("one's device by the self-signing key") {
    auto device = device_of(kAlice, "A", device_seed);
    alice.self.sign(device, kAlice);
    CHECK(failures(node, kAlice, {{kAlice, json::object{{"A", device}}}}).empty());
    const auto seen = query(node, kBob, kAlice);
    const auto& shown = seen.at("device_keys").at(kAlice).at("A").as_object();
    CHECK(signatures(shown, kAlice)->size() == 2);
  }
  SUBCASE("one's master key by the device") {
    auto master = public_part(kAlice, "master", alice.master);
    must(sign_json(master, kAlice, "ed25519:A", device_seed));
    CHECK(failures(node, kAlice, {{kAlice, json::object{{alice.master.name, master}}}}).empty());
    CHECK(
        signatures(query(node, kBob, kAlice).at("master_keys").at(kAlice).as_object(), kAlice)->contains("ed25519:A"));
  }
  SUBCASE("another's master key, for the signer alone, who is told") {
    const auto watching = node.user(kAlice);
    const auto before = node.now();
    auto master = public_part(kBob, "master", bob.master);
    alice.other.sign(master, kAlice);
    CHECK(failures(node, kAlice, {{kBob, json::object{{bob.master.name, master}}}}).empty());
    CHECK(signatures(query(node, kAlice, kBob).at("master_keys").at(kBob).as_object(), kAlice));
    CHECK_FALSE(signatures(query(node, kBob, kBob).at("master_keys").at(kBob).as_object(), kAlice));
    CHECK(node.run(node.device_keys->between(watching, before, node.now())).changed == std::vector<std::string>{kBob});
    CHECK(node.run(node.device_keys->between(node.user(kBob), before, node.now())).changed.empty());
  }
  SUBCASE("what does not verify, is another key or unknown is told as a failure") {
    auto device = device_of(kAlice, "A", device_seed);
    alice.other.sign(device, kAlice);  // not the self-signing key
    auto altered = device_of(kAlice, "A", device_seed);
    altered["algorithms"] = json::array{"b"};
    alice.self.sign(altered, kAlice);
    auto forged = public_part(kBob, "master", bob.master);
    forged["signatures"] = json::object{{kAlice, json::object{{alice.other.id(), "AAAA"}}}};
    struct Case {
      std::string user, key;
      json::value value;
      std::string_view errcode;
    };
    const Case cases[] = {
        {kAlice, "A", device, "M_INVALID_SIGNATURE"}, {kAlice, "A", altered, "M_INVALID_PARAM"},
        {kAlice, "NONE", device, "M_NOT_FOUND"},      {kBob, bob.master.name, forged, "M_INVALID_SIGNATURE"},
        {kBob, "NONE", forged, "M_NOT_FOUND"},        {kAlice, "A", 5, "M_BAD_JSON"},
    };
    for (const auto& c : cases) {
      const auto failed = failures(node, kAlice, {{c.user, json::object{{c.key, c.value}}}});
      REQUIRE(get_object(failed, c.user));
      CHECK(get_string(*get_object(*get_object(failed, c.user), c.key), "errcode") == c.errcode);
    }
  }
}

}  // namespace haechi::messenger::test
