#include "app/config_keys.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/text.hpp"

namespace haechi::app {
namespace {

constexpr std::int64_t kIntMax = std::numeric_limits<std::int64_t>::max();

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);  // JSON's escapes are TOML's, too
  return out;
}

std::string quoted_list(const std::vector<std::string>& list) {
  std::string out = "[";
  for (const auto& s : list) {
    if (out.size() > 1) out += ", ";
    out += quoted(s);
  }
  return out + "]";
}

bool is_url(std::string_view s) {
  std::string_view rest;
  if (s.starts_with("https://")) rest = s.substr(8);
  else if (s.starts_with("http://")) rest = s.substr(7);
  return !rest.empty() && !rest.starts_with('/') && !rest.starts_with(':') && !rest.ends_with('/') &&
         std::ranges::none_of(rest,
                              [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == '?' || c == '#'; });
}

/// "host:port", IPv6 in brackets.
bool is_host_port(std::string_view s) {
  const auto colon = s.rfind(':');
  if (colon == std::string_view::npos || !is_server_name(s)) return false;
  return !s.substr(colon + 1).ends_with(']');
}

/// What PostgreSQL and Patroni take as a member's name too.
bool is_plain_name(std::string_view s) {
  return !s.empty() && s.size() <= 32 && s.front() >= 'a' && s.front() <= 'z' &&
         std::ranges::all_of(s, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

bool is_vault_name_or_empty(std::string_view s) {
  return s.empty() || (s.starts_with(kVaultPrefix) && s.size() > kVaultPrefix.size());
}

bool is_range(std::string_view s) {
  const auto slash = s.find('/');
  const std::string address(s.substr(0, slash));
  unsigned char bytes[16];
  const bool v4 = inet_pton(AF_INET, address.c_str(), bytes) == 1;
  if (!v4 && inet_pton(AF_INET6, address.c_str(), bytes) != 1) return false;
  if (slash == std::string_view::npos) return true;
  const auto bits = parse_int(s.substr(slash + 1));
  return bits && *bits >= 0 && *bits <= (v4 ? 32 : 128);
}

bool is_turn_uri(std::string_view s) {
  return std::ranges::any_of(std::array{"turn:", "turns:", "stun:", "stuns:"},
                             [&](std::string_view p) { return s.starts_with(p) && s.size() > p.size(); });
}

/// 1048576, "1048576", "1 MiB", "10GiB".
std::optional<std::int64_t> bytes_of(const Leaf& leaf) {
  if (const auto* n = std::get_if<std::int64_t>(&leaf)) return *n;
  const auto* text = std::get_if<std::string>(&leaf);
  if (!text) return std::nullopt;
  const std::size_t digits = std::min(text->find_first_not_of("0123456789"), text->size());
  const auto number = parse_int(std::string_view(*text).substr(0, digits));
  const auto unit = trim(std::string_view(*text).substr(digits));
  int shift = -1;
  if (unit.empty() || unit == "B") shift = 0;
  else if (unit == "KiB") shift = 10;
  else if (unit == "MiB") shift = 20;
  else if (unit == "GiB") shift = 30;
  else if (unit == "TiB") shift = 40;
  if (!number || shift < 0 || *number > (kIntMax >> shift)) return std::nullopt;
  return *number << shift;
}

/// "100 MiB" where it is a round number of them.
std::string show_bytes(std::int64_t n) {
  constexpr std::pair<int, const char*> kUnits[] = {{40, "TiB"}, {30, "GiB"}, {20, "MiB"}, {10, "KiB"}};
  for (const auto& [shift, unit] : kUnits) {
    if (n > 0 && n % (std::int64_t{1} << shift) == 0) return fmt::format("\"{} {}\"", n >> shift, unit);
  }
  return std::to_string(n);
}

std::string show_double(double d) {
  auto text = fmt::format("{}", d);
  if (!text.contains('.') && !text.contains('e')) text += ".0";
  return text;
}

// `at` says where in a Config the value lives: [](Config& c) -> auto& { return c.x; }
class Table {
 public:
  template <class At>
  void text(std::string path, std::string meaning, std::string expected, At at,
            std::function<bool(std::string_view)> good, bool commented = false) {
    keys.push_back({std::move(path), std::move(meaning), std::move(expected), commented,
                    [at, good](Config& c, const Leaf& l) {
                      const auto* s = std::get_if<std::string>(&l);
                      if (!s || !good(*s)) return false;
                      at(c) = *s;
                      return true;
                    },
                    [at](const Config& c) { return quoted(at(c)); }});
  }
  template <class At>
  void flag(std::string path, std::string meaning, At at) {
    keys.push_back({std::move(path), std::move(meaning), "true or false", false,
                    [at](Config& c, const Leaf& l) {
                      const auto* b = std::get_if<bool>(&l);
                      if (b) at(c) = *b;
                      return b != nullptr;
                    },
                    [at](const Config& c) { return std::string(at(c) ? "true" : "false"); }});
  }
  template <class At>
  void integer(std::string path, std::string meaning, std::int64_t least, std::int64_t most, At at) {
    auto expected = most == kIntMax ? fmt::format("an integer, {} or more", least)
                                    : fmt::format("an integer from {} to {}", least, most);
    keys.push_back({std::move(path), std::move(meaning), std::move(expected), false,
                    [=](Config& c, const Leaf& l) {
                      const auto* n = std::get_if<std::int64_t>(&l);
                      if (!n || *n < least || *n > most) return false;
                      at(c) = *n;
                      return true;
                    },
                    [at](const Config& c) { return std::to_string(at(c)); }});
  }
  template <class At>
  void bytes(std::string path, std::string meaning, std::int64_t least, At at) {
    keys.push_back({std::move(path), std::move(meaning),
                    fmt::format("a number of bytes, {} or more, such as 1048576 or \"100 MiB\"", least), false,
                    [=](Config& c, const Leaf& l) {
                      const auto n = bytes_of(l);
                      if (!n || *n < least) return false;
                      at(c) = *n;
                      return true;
                    },
                    [at](const Config& c) { return show_bytes(at(c)); }});
  }
  template <class At>
  void number(std::string path, std::string meaning, double least, At at) {
    keys.push_back({std::move(path), std::move(meaning), fmt::format("a number, {} or more", least), false,
                    [=](Config& c, const Leaf& l) {
                      double d = -1;
                      if (const auto* n = std::get_if<std::int64_t>(&l)) d = static_cast<double>(*n);
                      else if (const auto* f = std::get_if<double>(&l)) d = *f;
                      if (!(d >= least && d <= 1e9)) return false;
                      at(c) = d;
                      return true;
                    },
                    [at](const Config& c) { return show_double(at(c)); }});
  }
  template <class At>
  void list(std::string path, std::string meaning, std::string expected, At at,
            std::function<bool(std::string_view)> good) {
    keys.push_back({std::move(path), std::move(meaning), std::move(expected), false,
                    [at, good](Config& c, const Leaf& l) {
                      const auto* all = std::get_if<std::vector<std::string>>(&l);
                      if (!all || !std::ranges::all_of(*all, good)) return false;
                      at(c) = *all;
                      return true;
                    },
                    [at](const Config& c) { return quoted_list(at(c)); }});
  }
  /// One of a few names, each of which stands for a value.
  template <class E, class At>
  void choice(std::string path, std::string meaning, std::vector<std::pair<std::string_view, E>> names, At at) {
    std::string expected = "one of ";
    for (const auto& [name, value] : names) {
      if (!expected.ends_with("of ")) expected += ", ";
      expected += quoted(name);
    }
    keys.push_back({std::move(path), std::move(meaning), std::move(expected), false,
                    [at, names](Config& c, const Leaf& l) {
                      const auto* s = std::get_if<std::string>(&l);
                      for (const auto& [name, value] : names) {
                        if (!s || *s != name) continue;
                        at(c) = value;
                        return true;
                      }
                      return false;
                    },
                    [at, names](const Config& c) {
                      for (const auto& [name, value] : names) {
                        if (value == at(c)) return quoted(name);
                      }
                      return std::string("\"\"");
                    }});
  }
  template <class At>
  void rate(const std::string& path, const std::string& meaning, At at) {
    number(path + ".per_second", meaning + ", in the long run; 0: no limit", 0,
           [at](auto& c) -> auto& { return at(c).per_second; });
    number(path + ".burst", "and so many at once", 1, [at](auto& c) -> auto& { return at(c).burst; });
  }
  std::vector<Key> keys;
};

std::function<bool(std::string_view)> one_of(std::vector<std::string_view> names) {
  return [names = std::move(names)](std::string_view s) { return std::ranges::find(names, s) != names.end(); };
}

#define AT(member) [](auto& c) -> auto& { return c.member; }

std::vector<Key> make_keys() {
  const auto filled = [](std::string_view s) { return !s.empty(); };
  const auto any = [](std::string_view) { return true; };
  const auto url_or_empty = [](std::string_view s) { return s.empty() || is_url(s); };
  Table t;

  t.text("server_name", "The name in user ids, @somebody:NAME. It can never be changed. Required here or as a flag.",
         "a host name or address with an optional port, such as \"example.org\"", AT(server_name), is_server_name,
         true);
  t.text("data", "The folder of the database and the media.", "the path of a folder", AT(data), filled);
  t.keys.push_back({"listen", "The address and port to listen on. IPv6 in brackets: \"[::1]:8008\".",
                    "ADDR:PORT, such as \"127.0.0.1:8008\"", false,
                    [](Config& c, const Leaf& l) {
                      const auto* s = std::get_if<std::string>(&l);
                      return s && set_listen(c, *s);
                    },
                    [](const Config& c) { return quoted(fmt::format("{}:{}", c.address, c.port)); }});
  t.text("public_base_url", "The address at which clients reach the server, where it is not the one listened on.",
         "a URL such as \"https://matrix.example.org\", without a slash at the end", AT(public_base_url), url_or_empty);
  t.text("default_room_version", "The version of new rooms whose creator asks for none.",
         "one of \"10\", \"11\", \"12\"", AT(default_room_version), one_of({"10", "11", "12"}));
  t.flag("presence", "Whether people see who is online.", AT(presence));
  t.text("site", "The site that this node stands in: the name of one of [[sites]].", "the name of a site", AT(site),
         [](std::string_view s) { return s.empty() || is_plain_name(s); });
  t.text("node", "What operators call this node; empty: its address and port.", "a name of 1 to 64 characters",
         AT(node), [](std::string_view s) {
           return s.size() <= 64 && std::ranges::all_of(s, [](char c) { return c > 0x20 && c < 0x7f; });
         });

  t.choice<Engine>("store.engine",
                   "\"sqlite\": in the data folder, for one machine. \"postgresql\": for several nodes and sites.",
                   {{"sqlite", Engine::Sqlite}, {"postgresql", Engine::Postgresql}}, AT(store.engine));
  t.list("store.hosts",
         "The PostgreSQL servers, of which the one that accepts writes is found; empty: those of [[sites]].",
         "a list such as [\"10.0.1.1:5432\", \"10.0.2.1:5432\"]", AT(store.hosts), is_host_port);
  t.text("store.database", "", "the name of a database", AT(store.database), filled);
  t.text("store.user", "", "the name of a database user", AT(store.user), filled);
  t.text("store.password_file", "A file that holds the database user's password.", "the path of a file",
         AT(store.password_file), any);

  t.choice<BlobPlace>(
      "blobs.store",
      "Where media are: \"local\" in the data folder, \"database\" in PostgreSQL, \"s3\" in an "
      "S3-compatible store.\nEmpty: \"local\" with SQLite, \"database\" with PostgreSQL.",
      {{"", BlobPlace::Unset}, {"local", BlobPlace::Local}, {"database", BlobPlace::Database}, {"s3", BlobPlace::S3}},
      AT(blobs.place));
  t.text("blobs.s3_endpoint", "", "a URL without a slash at the end", AT(blobs.s3_endpoint), url_or_empty);
  t.text("blobs.s3_region", "", "the name of a region", AT(blobs.s3_region), any);
  t.text("blobs.s3_bucket", "", "the name of a bucket", AT(blobs.s3_bucket), any);
  t.text("blobs.s3_access_key", "", "an access key id", AT(blobs.s3_access_key), any);
  t.text("blobs.s3_secret_key_file", "A file that holds the secret key.", "the path of a file",
         AT(blobs.s3_secret_key_file), any);
  t.text("blobs.s3_secret_key", "Or \"vault:NAME\": the secret of that name in the vault (haechi vault set NAME).",
         "\"vault:NAME\"", AT(blobs.s3_secret_key_name), is_vault_name_or_empty);
  t.bytes("blobs.cache_bytes_max", "Copies in the data folder of media that are kept elsewhere.", 16ll << 20,
          AT(blobs.cache_bytes_max));

  t.text(
      "vault.key_file",
      "A file with the key (32 bytes in base64) that secrets in the database are encrypted with; the same everywhere.",
      "the path of a file", AT(vault.key_file), any);

  t.text("tls.certificate", "PEM files: the chain and its key. Both or neither; without them plain HTTP is spoken.",
         "the path of a PEM file", AT(tls.certificate), any);
  t.text("tls.key", "", "the path of a PEM file", AT(tls.key), any);
  t.text("tls.extra_ca", "More certificate authorities (PEM) to trust when this server calls others.",
         "the path of a PEM file", AT(tls.extra_ca), any);

  t.choice<Registration>("registration.mode",
                         "Who may make an account: \"closed\" nobody, \"token\" who has a registration token,\n"
                         "\"open\" everybody, \"shared_secret\" who knows the secret in the file below.",
                         {{"closed", Registration::Closed},
                          {"token", Registration::Token},
                          {"open", Registration::Open},
                          {"shared_secret", Registration::SharedSecret}},
                         AT(registration.mode));
  t.text("registration.shared_secret_file", "A file that holds the secret, for mode \"shared_secret\".",
         "the path of a file", AT(registration.shared_secret_file), any);
  t.text("registration.shared_secret", "Or \"vault:NAME\".", "\"vault:NAME\"", AT(registration.shared_secret_name),
         is_vault_name_or_empty);
  t.flag("registration.guest_access", "Whether guests may come without an account.", AT(registration.guest_access));

  t.integer("password.memory_mib", "The cost of a password hash (argon2id). Stored hashes follow at the next log-in.",
            1, 4096, AT(password.memory_mib));
  t.integer("password.passes", "", 1, 100, AT(password.passes));
  t.integer("password.threads", "Hashes at the same time; each takes memory_mib.", 1, 64, AT(password.threads));
  t.integer("password.length_min", "The least number of characters of a new password.", 1, 128,
            AT(password.length_min));

  t.flag("rate_limits.enabled", "All limits of this section at once.", AT(rate_limits.enabled));
  t.rate("rate_limits.messages", "Events a user sends", AT(rate_limits.messages));
  t.rate("rate_limits.joins", "Rooms a user joins or knocks at", AT(rate_limits.joins));
  t.rate("rate_limits.invites", "Invitations a user sends", AT(rate_limits.invites));
  t.rate("rate_limits.logins", "Failed log-ins per user and address", AT(rate_limits.logins));
  t.rate("rate_limits.registrations", "Registrations per address", AT(rate_limits.registrations));

  t.bytes("media.upload_bytes_max", "The largest upload.", 1, AT(media.upload_bytes_max));
  t.bytes("media.user_bytes_max", "All media of one user together; 0: no limit.", 0, AT(media.user_bytes_max));
  t.integer("media.thumbnail_pixels_max", "Larger pictures get no thumbnail.", 1, kIntMax,
            AT(media.thumbnail_pixels_max));
  t.flag("media.allow_legacy_unauthenticated", "Whether old clients may load media without an access token.",
         AT(media.allow_legacy_unauthenticated));

  const std::string ranges = "a list of addresses or ranges, such as [\"10.0.0.0/8\", \"::1\"]";
  t.list("push.allowed_ranges", "Private address ranges in which push gateways may be; all others are refused.", ranges,
         AT(push.allowed_ranges), is_range);
  t.flag("preview.enabled", "Whether the server loads web pages to show previews of links.", AT(preview.enabled));
  t.list("preview.allowed_ranges", "Private address ranges from which previews may come; all others are refused.",
         ranges, AT(preview.allowed_ranges), is_range);
  t.list("preview.denied", "Hosts that are never asked; * and ? stand for any text and any character.",
         "a list of host patterns, such as [\"*.example.org\"]", AT(preview.denied), filled);

  t.list("turn.uris", "Servers for voice and video calls.",
         "a list of URIs such as [\"turn:turn.example.org?transport=udp\"]", AT(turn.uris), is_turn_uri);
  t.text("turn.shared_secret_file", "A file that holds the secret shared with them.", "the path of a file",
         AT(turn.shared_secret_file), any);
  t.text("turn.shared_secret", "Or \"vault:NAME\".", "\"vault:NAME\"", AT(turn.shared_secret_name),
         is_vault_name_or_empty);
  t.integer("turn.lifetime_s", "How long their credentials are good.", 60, 30 * 86'400, AT(turn.lifetime_s));

  t.bytes("limits.header_bytes_max", "Request line and headers together.", 1024, AT(limits.header_bytes_max));
  t.bytes("limits.body_bytes_max", "The body of a request other than an upload.", 65'536, AT(limits.body_bytes_max));
  t.integer("limits.connections_max", "Connections at the same time.", 1, kIntMax, AT(limits.connections_max));
  t.integer("limits.connections_per_address", "The same per client address; 0: no limit (behind a proxy).", 0, kIntMax,
            AT(limits.connections_per_address));
  t.flag("limits.trust_forwarded_for", "Whether a proxy in front names the client's address in X-Forwarded-For.",
         AT(limits.trust_forwarded_for));

  t.text("log.level", "\"debug\", \"info\", \"warn\", \"error\" or \"off\".",
         "one of \"debug\", \"info\", \"warn\", \"error\", \"off\"", AT(log.level),
         one_of({"debug", "info", "warn", "error", "off"}));
  t.flag("log.access", "A line for each request.", AT(log.access));

  t.integer("retention.idempotency_keys",
            "A command sent again has its first effect and answer while so many newer ones have come at most.", 1000,
            kIntMax, AT(retention.idempotency_keys));

  t.text("well_known.client_base_url", "What /.well-known/matrix/client says; empty: public_base_url.",
         "a URL without a slash at the end", AT(well_known.client_base_url), url_or_empty);
  t.text("well_known.support_page", "What /.well-known/matrix/support says.", "a URL", AT(well_known.support_page),
         [](std::string_view s) { return s.empty() || s.starts_with("https://") || s.starts_with("http://"); });
  t.text("well_known.support_email", "", "an e-mail address", AT(well_known.support_email),
         [](std::string_view s) { return s.empty() || (s.contains('@') && !s.contains(' ')); });
  t.text("well_known.support_matrix_id", "", "a user id such as \"@admin:example.org\"",
         AT(well_known.support_matrix_id),
         [](std::string_view s) { return s.empty() || (s.starts_with('@') && s.contains(':')); });
  return std::move(t.keys);
}

#undef AT

std::vector<SiteKey> make_site_keys() {
  using cluster::Site;
  std::vector<SiteKey> keys;
  const auto text = [&](std::string name, std::string meaning, std::string expected, std::string example,
                        std::string Site::* at, bool (*good)(std::string_view)) {
    keys.push_back({std::move(name), std::move(meaning), std::move(expected), std::move(example),
                    [at, good](Site& site, const Leaf& l) {
                      const auto* s = std::get_if<std::string>(&l);
                      if (!s || !good(*s)) return false;
                      site.*at = *s;
                      return true;
                    }});
  };
  const std::string url = "a URL without a slash at the end";
  text("name", "", "a name of small letters, digits and _, with a letter first", "\"a\"", &Site::name, is_plain_name);
  keys.push_back({"nodes", "Its Haechi nodes.", "a list of URLs such as [\"http://10.0.1.1:8008\"]",
                  "[\"http://10.0.1.1:8008\", \"http://10.0.1.1:8018\"]", [](Site& site, const Leaf& l) {
                    const auto* all = std::get_if<std::vector<std::string>>(&l);
                    if (!all || all->empty() || !std::ranges::all_of(*all, is_url)) return false;
                    site.nodes = *all;
                    return true;
                  }});
  text("postgresql", "Its PostgreSQL.", "HOST:PORT, such as \"10.0.1.1:5432\"", "\"10.0.1.1:5432\"", &Site::postgresql,
       is_host_port);
  text("patroni", "The REST API of its Patroni.", url, "\"http://10.0.1.1:8009\"", &Site::patroni, is_url);
  text("etcd", "The client API of its etcd.", url, "\"http://10.0.1.1:2379\"", &Site::etcd, is_url);
  return keys;
}

}  // namespace

std::span<const SiteKey> site_keys() {
  static const std::vector<SiteKey> keys = make_site_keys();
  return keys;
}

std::span<const Key> config_keys() {
  static const std::vector<Key> keys = make_keys();
  return keys;
}

bool set_listen(Config& config, std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  const auto port = parse_int(text.substr(colon + 1));
  if (!port || *port < 0 || *port > 65'535) return false;
  auto address = text.substr(0, colon);
  const bool bracketed = address.size() > 2 && address.starts_with('[') && address.ends_with(']');
  if (bracketed) address = address.substr(1, address.size() - 2);
  const std::string kept(address);
  unsigned char bytes[16];
  if (inet_pton(bracketed ? AF_INET6 : AF_INET, kept.c_str(), bytes) != 1) return false;
  config.address = kept;
  config.port = static_cast<std::uint16_t>(*port);
  return true;
}

// https://spec.matrix.org/v1.19/appendices/#server-name
bool is_server_name(std::string_view text) {
  if (text.empty() || text.size() > 230) return false;
  std::string_view host = text;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return false;
    unsigned char bytes[16];
    if (inet_pton(AF_INET6, std::string(text.substr(1, end - 1)).c_str(), bytes) != 1) return false;
    text.remove_prefix(end + 1);
    host = "x";
  } else {
    host = text.substr(0, text.find(':'));
    text.remove_prefix(host.size());
  }
  if (!text.empty()) {
    const auto port = parse_int(text.substr(1));
    if (text.front() != ':' || !port || *port < 1 || *port > 65'535) return false;
  }
  return !host.empty() && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

}  // namespace haechi::app
