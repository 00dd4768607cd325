#include "app/config.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

using namespace haechi;
using namespace haechi::app;

namespace {

struct TempDir {
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "haechi-config-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name, std::string_view text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
  std::filesystem::path path;
};

std::string error_of(std::string_view toml) {
  const auto c = parse_config(toml, "h.toml");
  return c ? "no error" : c.error().message;
}

}  // namespace

TEST_CASE("a small file and the defaults make a configuration") {
  const auto c = parse_config("server_name = \"example.org\"\n", "h.toml");
  REQUIRE(c);
  CHECK(c->server_name == "example.org");
  CHECK(c->address == "127.0.0.1");
  CHECK(c->port == 8008);
  CHECK(c->base_url() == "http://127.0.0.1:8008");
  CHECK(c->registration.mode == Registration::Closed);
  CHECK(c->default_room_version == "11");
}

TEST_CASE("values of every type are read") {
  const auto c = parse_config(R"(
server_name = "[::1]:8448"
listen = "[::]:443"
presence = false
rate_limits.messages = { per_second = 5, burst = 7.5 }
[media]
upload_bytes_max = "2 GiB"
user_bytes_max = 12345
[push]
allowed_ranges = ["10.0.0.0/8", "::1"]
[registration]
mode = "token"
[password]
memory_mib = 19
)",
                              "h.toml");
  REQUIRE_MESSAGE(c, c.error().message);
  CHECK(c->address == "::");
  CHECK(c->base_url() == "http://[::1]:443");
  CHECK_FALSE(c->presence);
  CHECK(c->rate_limits.messages.per_second == 5.0);
  CHECK(c->rate_limits.messages.burst == 7.5);
  CHECK(c->media.upload_bytes_max == 2ll << 30);
  CHECK(c->media.user_bytes_max == 12345);
  CHECK(c->push.allowed_ranges == std::vector<std::string>{"10.0.0.0/8", "::1"});
  CHECK(c->registration.mode == Registration::Token);
  CHECK(c->password.memory_mib == 19);
}

TEST_CASE("a mistake is named with its file, line and key") {
  struct Row {
    const char* toml;
    const char* start;
    const char* says;
  };
  const Row rows[] = {
      {"server_name = \"a\"\nlissen = \"127.0.0.1:1\"\n", "h.toml:2: lissen: ", "did you mean listen?"},
      {"server_name = \"a\"\n[media]\n\nupload_max = 1\n", "h.toml:4: media.upload_max: ", "no such key"},
      {"server_name = \"a\"\n[medio]\nx = 1\n", "h.toml:2: medio: ", "no such key"},
      {"upload_bytes_max = 1\nserver_name = \"a\"\n",
       "h.toml:1: upload_bytes_max: ", "did you mean media.upload_bytes_max?"},
      {"server_name = 7\n", "h.toml:1: server_name: ", "got 7"},
      {"server_name = \"a b\"\n", "h.toml:1: server_name: ", "host name"},
      {"server_name = \"a\"\npresence = \"yes\"\n", "h.toml:2: presence: ", "expected true or false"},
      {"server_name = \"a\"\nlisten = \"127.0.0.1\"\n", "h.toml:2: listen: ", "ADDR:PORT"},
      {"server_name = \"a\"\nlisten = \"127.0.0.1:70000\"\n", "h.toml:2: listen: ", "ADDR:PORT"},
      {"server_name = \"a\"\nlisten = \"::1:80\"\n", "h.toml:2: listen: ", "ADDR:PORT"},
      {"server_name = \"a\"\ndefault_room_version = \"9\"\n", "h.toml:2: default_room_version: ", "\"12\""},
      {"server_name = \"a\"\ndefault_room_version = 12\n", "h.toml:2: default_room_version: ", "got 12"},
      {"server_name = \"a\"\n[registration]\nmode = \"free\"\n",
       "h.toml:3: registration.mode: ", "\"closed\", \"token\""},
      {"server_name = \"a\"\n[registration]\nmode = \"shared_secret\"\n",
       "h.toml:3: registration.mode: ", "shared_secret_file"},
      {"server_name = \"a\"\n[registration]\nshared_secret_file = \"/nowhere/x\"\n",
       "h.toml:3: registration.shared_secret_file: ", "/nowhere/x cannot be read"},
      {"server_name = \"a\"\n[tls]\ncertificate = \"/nowhere/c\"\n", "h.toml:3: tls.certificate: ", "needs tls.key"},
      {"server_name = \"a\"\n[tls]\nkey = \"/nowhere/c\"\n", "h.toml:3: tls.key: ", "needs tls.certificate"},
      {"server_name = \"a\"\n[tls]\nkey = \"/nowhere/k\"\ncertificate = \"/nowhere/c\"\n",
       "h.toml:4: tls.certificate: ", "/nowhere/c cannot be read"},
      {"server_name = \"a\"\n[tls]\nextra_ca = \"/\"\n", "h.toml:3: tls.extra_ca: ", "cannot be read"},
      {"server_name = \"a\"\npublic_base_url = \"https://x/\"\n", "h.toml:2: public_base_url: ", "without a slash"},
      {"server_name = \"a\"\n[password]\nmemory_mib = 0\n", "h.toml:3: password.memory_mib: ", "from 1 to 4096"},
      {"server_name = \"a\"\n[password]\npasses = 1.5\n", "h.toml:3: password.passes: ", "an integer"},
      {"server_name = \"a\"\n[media]\nupload_bytes_max = \"1 MB\"\n",
       "h.toml:3: media.upload_bytes_max: ", "\"100 MiB\""},
      {"server_name = \"a\"\n[media]\nupload_bytes_max = \"9999999999 TiB\"\n",
       "h.toml:3: media.upload_bytes_max: ", "bytes"},
      {"server_name = \"a\"\n[rate_limits]\nmessages = 5\n", "h.toml:3: rate_limits.messages: ", "expected a section"},
      {"server_name = \"a\"\n[rate_limits.joins]\nburst = nan\n", "h.toml:3: rate_limits.joins.burst: ", "a number"},
      {"server_name = \"a\"\n[push]\nallowed_ranges = [\"10.0.0.0/33\"]\n",
       "h.toml:3: push.allowed_ranges: ", "ranges"},
      {"server_name = \"a\"\n[push]\nallowed_ranges = [7]\n", "h.toml:3: push.allowed_ranges: ", "ranges"},
      {"server_name = \"a\"\n[turn]\nuris = [\"turn:t\"]\n", "h.toml:3: turn.uris: ", "shared_secret_file"},
      {"server_name = \"a\"\n[log]\nlevel = \"loud\"\n", "h.toml:3: log.level: ", "\"warn\""},
      {"server_name = \"a\"\n\n= 3\n", "h.toml:3: not TOML: ", ""},
      {"server_name = \"a\"\nserver_name = \"b\"\n", "h.toml:2: not TOML: ", ""},
      {"presence = true\n", "h.toml: server_name: ", "is required"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.toml);
    const auto message = error_of(row.toml);
    CAPTURE(message);
    CHECK(message.starts_with(row.start));
    CHECK(message.contains(row.says));
  }
}

TEST_CASE("flags go over the file and are checked as it is") {
  TempDir dir;
  const auto path = dir.file("h.toml", "server_name = \"file.example\"\ndata = \"/file\"\nlisten = \"127.0.0.1:1\"\n");
  const auto c = load_config({.config = path,
                              .data = "/flag",
                              .listen = "127.0.0.2:0",
                              .server_name = "flag.example",
                              .open_registration = true,
                              .no_rate_limits = true});
  REQUIRE_MESSAGE(c, c.error().message);
  CHECK(c->server_name == "flag.example");
  CHECK(c->data == "/flag");
  CHECK(c->address == "127.0.0.2");
  CHECK(c->port == 0);
  CHECK(c->registration.mode == Registration::Open);
  CHECK_FALSE(c->rate_limits.enabled);

  CHECK(load_config({.listen = "nowhere", .server_name = "a"}).error().message.starts_with("--listen: "));
  CHECK(load_config({.server_name = "a/b"}).error().message.starts_with("--server-name: "));
  CHECK(load_config({}).error().message.starts_with("--server-name is required"));
  CHECK(load_config({.config = "/nowhere/h.toml"}).error().message.contains("/nowhere/h.toml"));
  CHECK(load_config({.server_name = "a"}).has_value());
}

TEST_CASE("a secret comes from its file without the line's end") {
  TempDir dir;
  const auto secret = dir.file("secret", "s3cret\n");
  const auto empty = dir.file("empty", "\n");
  const auto text = [](const std::string& path) {
    return "server_name = \"a\"\n[registration]\nmode = \"shared_secret\"\nshared_secret_file = \"" + path + "\"\n";
  };
  const auto c = parse_config(text(secret), "h.toml");
  REQUIRE_MESSAGE(c, c.error().message);
  CHECK(c->registration.shared_secret == "s3cret");
  CHECK(error_of(text(empty)).starts_with("h.toml:4: registration.shared_secret_file: "));
}

TEST_CASE("the example is a valid file and says the defaults") {
  const auto text = config_example();
  const auto c = parse_config("server_name = \"a\"\n" + text, "example.toml");
  REQUIRE_MESSAGE(c, c.error().message);
  const Config defaults;
  CHECK(c->media.upload_bytes_max == defaults.media.upload_bytes_max);
  CHECK(c->rate_limits.logins.per_second == defaults.rate_limits.logins.per_second);
  CHECK(c->retention.idempotency_keys == defaults.retention.idempotency_keys);
  CHECK(text.contains("[media]\n"));
}

namespace {

constexpr std::string_view kTwoSites = R"(
server_name = "a"
[store]
engine = "postgresql"
[[sites]]
name = "a"
nodes = ["http://10.0.1.1:8008", "http://10.0.1.1:8018"]
postgresql = "10.0.1.1:5432"
patroni = "http://10.0.1.1:8009"
etcd = "http://10.0.1.1:2379"
[[sites]]
name = "b"
nodes = ["http://10.0.2.1:8008"]
postgresql = "10.0.2.1:5432"
patroni = "http://10.0.2.1:8009"
etcd = "http://10.0.2.1:2379"
)";

}  // namespace

TEST_CASE("sites are read, and their servers are the database's hosts, the own first") {
  TempDir dir;
  const auto key = dir.file("key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
  const auto c = parse_config("site = \"b\"\nvault.key_file = \"" + key + "\"" + std::string(kTwoSites), "h.toml");
  REQUIRE_MESSAGE(c, c.error().message);
  REQUIRE(c->sites.size() == 2);
  CHECK(c->sites[0].nodes.size() == 2);
  CHECK(c->sites[1].etcd == "http://10.0.2.1:2379");
  CHECK(c->store.hosts == std::vector<std::string>{"10.0.2.1:5432", "10.0.1.1:5432"});
  CHECK(c->blobs.place == BlobPlace::Database);
  CHECK(c->vault.key.size() == 32);
  CHECK(c->vault.key[31] == 31);
}

TEST_CASE("a command from outside needs neither the own site nor the files of a node") {
  const auto c =
      parse_config("vault.key_file = \"/nowhere/key\"" + std::string(kTwoSites), "h.toml", {.from_outside = true});
  REQUIRE_MESSAGE(c, c.error().message);
  CHECK(c->vault.key.empty());
  CHECK(c->store.hosts.size() == 2);
}

TEST_CASE("what does not fit together across engine, sites, media and key is named") {
  TempDir dir;
  const auto short_key = dir.file("short", "AAEC");
  const std::string sites(kTwoSites);
  const std::string third =
      "[[sites]]\nname = \"c\"\nnodes = [\"http://10.0.3.1:8008\"]\n"
      "postgresql = \"10.0.3.1:5432\"\npatroni = \"http://10.0.3.1:8009\"\n";
  const std::pair<std::string, const char*> rows[] = {
      {"server_name = \"a\"\n[store]\nengine = \"oracle\"\n", "h.toml:3: store.engine: expected one of"},
      {"server_name = \"a\"\n[store]\nengine = \"postgresql\"\n",
       "h.toml:3: store.engine: \"postgresql\" needs store.hosts"},
      {"server_name = \"a\"\n[store]\nhosts = [\"h:1\"]\n", "h.toml:3: store.hosts: needs store.engine"},
      {"server_name = \"a\"\n[store]\nengine = \"postgresql\"\nhosts = [\"h\"]\n",
       "h.toml:4: store.hosts: expected a list such as"},
      {"server_name = \"a\"\n[store]\nengine = \"postgresql\"\nhosts = [\"h:1\"]\npassword_file = \"/nowhere/p\"\n",
       "h.toml:5: store.password_file: the file /nowhere/p cannot be read"},
      {"server_name = \"a\"\n[blobs]\nstore = \"database\"\n", "h.toml:3: blobs.store: \"database\" needs"},
      {"server_name = \"a\"\n[blobs]\nstore = \"s3\"\ns3_endpoint = \"https://s3.example\"\n",
       "h.toml:3: blobs.store: \"s3\" needs blobs.s3_region"},
      {"server_name = \"a\"\nblobs.store = \"local\"\n[store]\nengine = \"postgresql\"\nhosts = [\"h:1\"]\n",
       "h.toml:2: blobs.store: \"local\" needs"},
      {"server_name = \"a\"\n[vault]\nkey_file = \"" + short_key + "\"\n", "h.toml:3: vault.key_file: the file"},
      {"server_name = \"a\"\nsite = \"a\"\n", "h.toml:2: site: there is no [[sites]] entry with the name a"},
      {sites, "h.toml: site: is required"},
      {"site = \"a\"" + sites, "h.toml: vault.key_file: is required with [[sites]]"},
      {"site = \"z\"" + sites, "h.toml:1: site: there is no [[sites]] entry"},
      {"site = \"a\"" + sites + third, "h.toml:17: sites: an entry lacks etcd"},
      {"site = \"a\"" + sites + third + "etcd = \"http://10.0.1.1:2379\"\n",
       "h.toml:17: sites: http://10.0.1.1:2379 stands in two entries"},
      {"site = \"a\"" + sites + third + "etcd = \"10.0.1.1:2379\"\n", "h.toml:22: sites.etcd: expected a URL"},
      {"site = \"a\"" + sites + third + "etc = \"10.0.1.1:2379\"\n", "h.toml:22: sites.etc: there is no such key"},
      {"server_name = \"a\"\nsites = 3\n", "h.toml:2: sites: expected [[sites]] entries"},
  };
  for (const auto& [toml, start] : rows) {
    const auto message = error_of(toml);
    CAPTURE(toml);
    CAPTURE(message);
    CHECK(message.starts_with(start));
  }
}
