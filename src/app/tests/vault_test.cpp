#include "app/vault.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "app/settings.hpp"
#include "base/text.hpp"

using namespace haechi;
using namespace haechi::app;

namespace {

struct TempDir {
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/haechi-vault-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::string path;
};

struct Fixture {
  Fixture() {
    std::vector<store::Migration> steps;
    for (const auto& m : vault::migrations()) steps.push_back(m);
    for (const auto& m : settings::migrations()) steps.push_back(m);
    REQUIRE(store::migrate(*db, steps).has_value());
  }
  TempDir dir;
  SeededRandom random{7};
  VaultKey key = VaultKey::generate(random);
  VaultKey other = VaultKey::generate(random);
  std::unique_ptr<store::Database> db = store::open_sqlite({.path = dir.path + "/db"}).value();
  std::unique_ptr<store::Connection> c = db->connect(store::Access::ReadWrite);
};

std::vector<VaultKey> only(const VaultKey& key) { return {key}; }

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a sealed secret opens with its key and its name, and with nothing else") {
  for (const std::string& secret :
       {std::string(), std::string("s3cret"), std::string("\0\xff nul", 6), std::string(70'000, 'x')}) {
    const auto sealed = key.seal("turn", secret, random);
    CHECK(key.open("turn", sealed) == secret);
    CHECK(sealed.find("s3cret") == std::string::npos);
    CHECK(key.seal("turn", secret, random) != sealed);  // a nonce of its own
    CHECK_FALSE(key.open("turm", sealed));
    CHECK_FALSE(other.open("turn", sealed));
    CHECK_FALSE(key.open("turn", sealed.substr(0, sealed.size() - 1)));
    CHECK_FALSE(key.open("turn", ""));
    for (const std::size_t at : {0uz, 23uz, 24uz, sealed.size() - 1}) {
      auto changed = sealed;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      CHECK_FALSE(key.open("turn", changed));
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "keys are read as the file holds them, and refused when they are none") {
  CHECK(VaultKey::parse(key.base64() + "\n").value().fingerprint() == key.fingerprint());
  CHECK(VaultKey::parse("  " + key.base64() + "=\r\n").value().fingerprint() == key.fingerprint());
  CHECK(key.fingerprint() != other.fingerprint());
  CHECK(key.fingerprint().size() == 16);
  for (const auto* text : {"", "short", "!!!!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                           "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}) {
    CAPTURE(text);
    CHECK_FALSE(VaultKey::parse(text));
  }
}

TEST_CASE_FIXTURE(Fixture, "secrets are kept, listed, replaced and removed by name") {
  vault::set(*c, key, "turn", "one", random, 1);
  vault::set(*c, key, "s3", "two", random, 2);
  vault::set(*c, key, "turn", "three", random, 3);
  CHECK(vault::get(*c, only(key), "turn").value() == "three");
  CHECK(vault::get(*c, only(key), "s3").value() == "two");
  CHECK(vault::get(*c, only(key), "none").error().is(Errc::NotFound));
  const auto all = vault::list(*c);
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "s3");
  CHECK(all[1].changed_ms == 3);
  CHECK(vault::erase(*c, "turn"));
  CHECK_FALSE(vault::erase(*c, "turn"));
  CHECK(vault::list(*c).size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a wrong key is told by fingerprints, without the secret") {
  vault::set(*c, key, "turn", "s3cret", random, 1);
  const auto got = vault::get(*c, only(other), "turn");
  REQUIRE(got.error().is(Errc::Conflict));
  CHECK(got.error().message.contains(key.fingerprint()));
  CHECK(got.error().message.contains(other.fingerprint()));
  CHECK_FALSE(got.error().message.contains("s3cret"));
  c->script("UPDATE vault_secrets SET sealed = x'00'");
  CHECK(vault::get(*c, only(key), "turn").error().message.contains("changed"));
}

TEST_CASE_FIXTURE(Fixture,
                  "a rotation that is broken off is taken up again, and nodes with both keys read all the while") {
  for (int i = 0; i < 5; ++i) vault::set(*c, key, "name" + std::to_string(i), std::to_string(i), random, i);
  vault::set(*c, other, "name2", "2", random, 9);  // as far as an earlier rotation had come
  const std::vector both{key, other};
  CHECK(vault::get(*c, both, "name1").value() == "1");
  CHECK(vault::get(*c, both, "name2").value() == "2");
  CHECK(vault::rotate(*c, only(key), other, random, 10).error().is(Errc::Conflict));
  CHECK(vault::rotate(*c, both, other, random, 10).value() == 5);
  for (int i = 0; i < 5; ++i)
    CHECK(vault::get(*c, only(other), "name" + std::to_string(i)).value() == std::to_string(i));
  CHECK(vault::get(*c, only(key), "name1").error().is(Errc::Conflict));
}

TEST_CASE("names of secrets are plain") {
  for (const auto* good : {"a", "turn", "S3.secret-key_2"}) CHECK(vault::is_name(good));
  for (const auto* bad : {"", "a b", "a/b", "ключ", "a\n"}) CHECK_FALSE(vault::is_name(bad));
  CHECK_FALSE(vault::is_name(std::string(101, 'a')));
}

TEST_CASE_FIXTURE(Fixture, "settings name secrets of the vault, and say what is missing") {
  const auto key_file = dir.path + "/key";
  std::ofstream(key_file) << key.base64() << '\n';
  const auto config_of = [&](const std::string& more) {
    return parse_config("server_name = 'hs'\n[vault]\nkey_file = '" + key_file + "'\n" + more, "test");
  };
  auto config = config_of("[turn]\nuris = ['turn:t']\nshared_secret = 'vault:turn'\n").value();
  CHECK(resolve_secrets(*db, config)
            .error()
            .message.starts_with("turn.shared_secret: the vault has no secret named turn"));
  vault::set(*c, key, "turn", "s3cret", random, 1);
  REQUIRE(resolve_secrets(*db, config));
  CHECK(config.turn.shared_secret == "s3cret");

  // While the key changes, the next one beside it opens too.
  vault::set(*c, other, "turn", "newer", random, 1);
  CHECK(resolve_secrets(*db, config).error().is(Errc::Conflict));
  std::ofstream(key_file + ".next") << other.base64();
  REQUIRE(resolve_secrets(*db, config));
  CHECK(config.turn.shared_secret == "newer");
  std::ofstream(key_file + ".next", std::ios::trunc) << "nonsense";
  CHECK(resolve_secrets(*db, config).error().message.contains(".next"));

  const std::pair<const char*, const char*> refused[] = {
      {"[turn]\nshared_secret = 'plain'\n", "expected \"vault:NAME\""},
      {"[turn]\nshared_secret = 'vault:'\n", "expected \"vault:NAME\""},
      {"[turn]\nshared_secret = 'vault:a'\nshared_secret_file = 'b'\n", "one of both"},
  };
  for (const auto& [text, why] : refused) {
    CAPTURE(text);
    const auto r = config_of(text);
    REQUIRE_FALSE(r);
    CHECK_MESSAGE(r.error().message.contains(why), r.error().message);
  }
  const auto without = parse_config("server_name = 'hs'\n[turn]\nshared_secret = 'vault:a'\n", "test");
  CHECK(without.error().message == "test:3: turn.shared_secret: needs vault.key_file");
}

TEST_CASE("a setting's value is taken as TOML or as a bare word") {
  struct Row {
    const char* name;
    const char* text;
    const char* stored;  // empty: refused
  };
  const Row rows[] = {
      {"registration.mode", "open", "\"open\""},
      {"registration.mode", "\"token\"", "\"token\""},
      {"registration.mode", "nobody", ""},
      {"registration.guest_access", "true", "true"},
      {"registration.guest_access", "yes", ""},
      {"rate_limits.enabled", "false", "false"},
      {"rate_limits.messages.per_second", "5", "5.0"},
      {"media.upload_bytes_max", "50 MiB", "\"50 MiB\""},
      {"media.upload_bytes_max", "1048576", "\"1 MiB\""},
      {"media.upload_bytes_max", "0", ""},
      {"turn.uris", "['turn:a', 'turn:b']", "[\"turn:a\", \"turn:b\"]"},
      {"turn.shared_secret", "vault:turn", "\"vault:turn\""},
      {"presence", "false\npresence = true", ""},
      {"default_room_version", "\"12\"", "\"12\""},
      {"well_known.support_email", "", "\"\""},
      {"store.engine", "sqlite", ""},
      {"data", "/tmp", ""},
      {"vault.key_file", "x", ""},
      {"none", "x", ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CAPTURE(row.text);
    const auto got = settings::check(row.name, row.text);
    CHECK(got.value_or("") == row.stored);
  }
}

TEST_CASE_FIXTURE(Fixture, "settings of the database go over the file's, and flags over both") {
  const std::string file = "server_name = 'hs'\npresence = true\n[registration]\nmode = 'closed'\n";
  settings::set(*c, "registration.mode", "\"token\"", 1);
  settings::set(*c, "presence", "false", 1);
  settings::set(*c, "of.a.newer.program", "1", 1);
  auto config = parse_config(file, "test").value();
  REQUIRE(apply_stored_settings(*db, config));
  CHECK(config.registration.mode == Registration::Token);
  CHECK_FALSE(config.presence);
  config = parse_config(file, "test", {.open_registration = true}).value();
  REQUIRE(apply_stored_settings(*db, config));
  CHECK(config.registration.mode == Registration::Open);
  CHECK(settings::erase(*c, "presence"));
  CHECK_FALSE(settings::erase(*c, "presence"));

  settings::set(*c, "registration.mode", "\"shared_secret\"", 1);
  config = parse_config(file, "test").value();
  CHECK(apply_stored_settings(*db, config).error().message.contains("needs registration.shared_secret"));
}
