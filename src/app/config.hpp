#pragma once
// What an operator may set: read from a TOML file, then from flags, checked as a
// whole before anything starts. config_keys.cpp holds every key with its meaning.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cluster/site.hpp"

namespace haechi::app {

enum class Engine { Sqlite, Postgresql };
enum class BlobPlace { Unset, Local, Database, S3 };
enum class Registration { Closed, Token, Open, SharedSecret };

/// "vault:NAME" in place of a secret: what the vault holds under that name.
inline constexpr std::string_view kVaultPrefix = "vault:";

struct RateConfig {
  double per_second = 0;
  double burst = 0;
};

struct Config {
  std::string server_name;
  std::string data = "./data";
  std::string address = "127.0.0.1";  ///< set by `listen`, "ADDR:PORT"
  std::uint16_t port = 8008;
  std::string public_base_url;  ///< empty: see base_url()
  std::string default_room_version = "11";
  bool presence = true;
  std::string site;  ///< the name of the own one of `sites`; empty where there are none
  std::string node;  ///< what operators call this node; see node_name()

  struct Store {
    Engine engine = Engine::Sqlite;
    std::vector<std::string> hosts;  ///< "host:port"; when the file names none: those of `sites`, the own first
    std::string database = "haechi";
    std::string user = "haechi";
    std::string password_file;
    std::string password;  ///< what the file holds
  } store;

  std::vector<cluster::Site> sites;

  struct Blobs {
    BlobPlace place = BlobPlace::Unset;  ///< never Unset once checked
    std::string s3_endpoint;
    std::string s3_region;
    std::string s3_bucket;
    std::string s3_access_key;
    std::string s3_secret_key_file;
    std::string s3_secret_key_name;  ///< "vault:NAME", in place of a file
    std::string s3_secret_key;       ///< what the file or the vault holds
    std::int64_t cache_bytes_max = 4ll << 30;
  } blobs;

  struct Vault {
    std::string key_file;
    std::string key;  ///< the 32 bytes that the file holds in base64; empty without a file
  } vault;

  struct Tls {
    std::string certificate, key;  ///< both or neither
    std::string extra_ca;
    bool on() const { return !certificate.empty(); }
  } tls;

  struct RegistrationConfig {
    Registration mode = Registration::Closed;
    bool guest_access = false;
    std::string shared_secret_file;
    std::string shared_secret_name;  ///< "vault:NAME", in place of a file
    std::string shared_secret;       ///< what the file or the vault holds
  } registration;

  struct Password {
    std::int64_t memory_mib = 64;
    std::int64_t passes = 2;
    std::int64_t threads = 1;
    std::int64_t length_min = 1;
  } password;

  struct RateLimits {
    bool enabled = true;
    RateConfig messages{20, 200};
    RateConfig joins{2, 40};
    RateConfig invites{2, 60};
    RateConfig logins{0.2, 10};
    RateConfig registrations{0.2, 20};
  } rate_limits;

  struct Media {
    std::int64_t upload_bytes_max = 100ll << 20;
    std::int64_t user_bytes_max = 0;
    std::int64_t thumbnail_pixels_max = 40'000'000;
    bool allow_legacy_unauthenticated = true;
  } media;

  struct Push {
    std::vector<std::string> allowed_ranges;
  } push;

  struct Preview {
    bool enabled = true;
    std::vector<std::string> allowed_ranges;
    std::vector<std::string> denied;
  } preview;

  struct Turn {
    std::vector<std::string> uris;
    std::string shared_secret_file;
    std::string shared_secret_name;  ///< "vault:NAME", in place of a file
    std::string shared_secret;       ///< what the file or the vault holds
    std::int64_t lifetime_s = 86'400;
  } turn;

  struct Limits {
    std::int64_t header_bytes_max = 32ll << 10;
    std::int64_t body_bytes_max = 1ll << 20;
    std::int64_t connections_max = 1'000'000;
    std::int64_t connections_per_address = 0;
    bool trust_forwarded_for = false;
  } limits;

  struct Log {
    std::string level = "info";
    bool access = false;
  } log;

  struct Retention {
    std::int64_t idempotency_keys = 8'000'000;
  } retention;

  struct WellKnown {
    std::string client_base_url;  ///< empty: base_url()
    std::string support_page;
    std::string support_email;
    std::string support_matrix_id;
  } well_known;

  /// Keys that flags have set: nothing goes over them.
  std::vector<std::string> from_flags;

  /// The address that clients are told: public_base_url, else the one listened on.
  std::string base_url() const;
  /// `node`, else "ADDR:PORT".
  std::string node_name() const;
  bool shared_store() const { return store.engine == Engine::Postgresql; }
};

/// What `haechi serve` takes on its command line; it goes over the file.
struct Flags {
  std::optional<std::string> config;
  std::optional<std::string> data;
  std::optional<std::string> listen;
  std::optional<std::string> server_name;
  bool open_registration = false;
  bool no_rate_limits = false;
  /// For commands that only look at the platform, from any machine: files with secrets
  /// and certificates are not read, and neither `site` nor `server_name` is required.
  bool from_outside = false;
};

/// File, then flags, then the checks that need both. Errc::Invalid with one line
/// for people: file, line, key, what is expected.
Result<Config> load_config(const Flags& flags);

/// As load_config, from text; `name` stands for the file in messages.
Result<Config> parse_config(std::string_view toml, std::string_view name, const Flags& flags = {});

/// What has to hold between settings, once those of the database are in.
Result<> check_settings(const Config& config);

/// A TOML file with every key, its meaning and its default.
std::string config_example();

}  // namespace haechi::app
