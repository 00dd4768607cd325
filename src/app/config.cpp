#include "app/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "app/config_keys.hpp"
#include "base/text.hpp"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace haechi::app {
namespace {

using Lines = std::map<std::string, unsigned, std::less<>>;

std::unexpected<Error> bad(std::string_view name, unsigned line, std::string_view what) {
  return fail(Errc::Invalid, line > 0 ? fmt::format("{}:{}: {}", name, line, what) : fmt::format("{}: {}", name, what));
}

Leaf leaf_of(const toml::node& node) {
  if (const auto* s = node.as_string()) return s->get();
  if (const auto* n = node.as_integer()) return n->get();
  if (const auto* d = node.as_floating_point()) return d->get();
  if (const auto* b = node.as_boolean()) return b->get();
  if (const auto* a = node.as_array()) {
    std::vector<std::string> list;
    for (const auto& item : *a) {
      const auto* s = item.as_string();
      if (!s) return {};
      list.push_back(s->get());
    }
    return list;
  }
  return {};
}

/// "wrong" quoted, a number as it is; secrets do not stand in the file.
std::string shown(const toml::node& node) {
  std::ostringstream out;
  node.visit([&](const auto& n) { out << n; });
  auto text = out.str();
  std::ranges::replace(text, '\n', ' ');
  return text.size() > 80 ? text.substr(0, 77) + "..." : text;
}

/// The key that somebody who wrote `path` most likely meant: the one with the same
/// last part, or with the fewest letters to change.
std::string nearest(std::string_view path) {
  const auto distance = [](std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
      std::size_t before = row[0]++;
      for (std::size_t j = 1; j <= b.size(); ++j) {
        const std::size_t change = before + (a[i - 1] == b[j - 1] ? 0 : 1);
        before = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
      }
    }
    return row[b.size()];
  };
  std::string best;
  std::size_t least = 4;
  for (const auto& k : config_keys()) {
    const auto last = path.substr(path.rfind('.') + 1);
    if (k.path.ends_with("." + std::string(last))) return k.path;
    if (const auto d = distance(path.substr(0, 100), k.path); d < least) {
      least = d;
      best = k.path;
    }
  }
  return best;
}

/// The entries of [[sites]].
Result<> read_sites(const toml::node& node, std::string_view name, Config& config, Lines& lines) {
  const auto* list = node.as_array();
  if (!list || !std::ranges::all_of(*list, [](const toml::node& n) { return n.is_table(); })) {
    return bad(name, node.source().begin.line, fmt::format("sites: expected [[sites]] entries, got {}", shown(node)));
  }
  for (const auto& item : *list) {
    cluster::Site site;
    for (const auto& [k, value] : *item.as_table()) {
      const auto key = std::ranges::find(site_keys(), k.str(), &SiteKey::name);
      if (key == site_keys().end()) {
        return bad(name, k.source().begin.line, fmt::format("sites.{}: there is no such key", k.str()));
      }
      if (!key->set(site, leaf_of(value))) {
        return bad(name, value.source().begin.line,
                   fmt::format("sites.{}: expected {}, got {}", key->name, key->expected, shown(value)));
      }
    }
    const auto line = item.source().begin.line;
    for (const auto& key : site_keys()) {
      if (!item.as_table()->contains(key.name)) {
        return bad(name, line, fmt::format("sites: an entry lacks {}: {}", key.name, key.expected));
      }
    }
    for (const auto& other : config.sites) {
      const auto clash = [&](std::string_view what) {
        return bad(name, line, fmt::format("sites: {} stands in two entries", what));
      };
      if (other.name == site.name) return clash("the name " + site.name);
      if (other.postgresql == site.postgresql) return clash(site.postgresql);
      if (other.patroni == site.patroni) return clash(site.patroni);
      if (other.etcd == site.etcd) return clash(site.etcd);
      for (const auto& url : site.nodes) {
        if (std::ranges::find(other.nodes, url) != other.nodes.end()) return clash(url);
      }
    }
    lines["sites." + site.name] = line;
    config.sites.push_back(std::move(site));
  }
  return {};
}

Result<> read_table(const toml::table& table, const std::string& prefix, std::string_view name, Config& config,
                    Lines& lines) {
  for (const auto& [k, node] : table) {
    const std::string path = prefix + std::string(k.str());
    const unsigned line = k.source().begin.line;
    lines[path] = line;
    if (path == "sites") {
      TRY_DO(read_sites(node, name, config, lines));
      continue;
    }
    const auto keys = config_keys();
    const auto key = std::ranges::find(keys, path, &Key::path);
    if (key != keys.end()) {
      if (!key->set(config, leaf_of(node))) {
        return bad(name, node.source().begin.line,
                   fmt::format("{}: expected {}, got {}", path, key->expected, shown(node)));
      }
      continue;
    }
    const bool section = std::ranges::any_of(keys, [&](const Key& any) { return any.path.starts_with(path + "."); });
    if (!section) {
      const auto meant = nearest(path);
      return bad(name, line,
                 fmt::format("{}: there is no such key{}", path, meant.empty() ? "" : "; did you mean " + meant + "?"));
    }
    const auto* inner = node.as_table();
    if (!inner) return bad(name, line, fmt::format("{}: expected a section, got {}", path, shown(node)));
    TRY_DO(read_table(*inner, path + ".", name, config, lines));
  }
  return {};
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  // Opening a folder succeeds; reading it does not.
  if (!in || !(out << in.rdbuf()) || in.bad())
    return fail(Errc::Invalid, fmt::format("the file {} cannot be read", path));
  return std::move(out).str();
}

/// The checks that concern several keys, or files.
class Check {
 public:
  Check(Config& config, std::string_view name, const Lines& lines, bool has_file, bool from_outside)
      : c_(config), name_(name), lines_(lines), has_file_(has_file), from_outside_(from_outside) {}

  Result<> all() {
    TRY_DO(server_name());
    TRY_DO(tls());
    TRY_DO(registration());
    TRY_DO(turn());
    TRY_DO(sites());
    TRY_DO(store());
    TRY_DO(blobs());
    return vault();
  }

 private:
  std::unexpected<Error> complain(std::string_view key, std::string_view what) const {
    const auto line = lines_.find(key);
    return bad(name_, line == lines_.end() ? 0 : line->second, fmt::format("{}: {}", key, what));
  }

  Result<std::string> file(std::string_view key, const std::string& path) const {
    if (from_outside_) return std::string();
    auto text = read_file(path);
    if (!text) return complain(key, text.error().message);
    if (trim(*text).empty()) return complain(key, fmt::format("the file {} is empty", path));
    return text;
  }
  /// What a file holds, without the line's end; nothing where none is named.
  Result<std::string> secret(std::string_view key, const std::string& path) const {
    if (path.empty()) return std::string();
    TRY(const auto text, file(key, path));
    return std::string(trim(text));
  }

  /// Of a secret that a file or the vault may hold. What the vault holds is read once the store is open.
  Result<> from_vault(std::string_view key, const std::string& name, const std::string& file_path) const {
    if (name.empty()) return {};
    if (!file_path.empty()) return complain(key, "stands beside a file for the same secret: one of both");
    if (c_.vault.key_file.empty()) return complain(key, "needs vault.key_file");
    return {};
  }

  Result<> server_name() const {
    if (!c_.server_name.empty() || from_outside_) return {};
    return has_file_
               ? complain("server_name", "is required: a host name such as \"example.org\", here or as --server-name")
               : fail(Errc::Invalid, "--server-name is required: a host name such as example.org");
  }

  Result<> tls() const {
    if (c_.tls.certificate.empty() != c_.tls.key.empty()) {
      const bool lacks_key = c_.tls.key.empty();
      return complain(lacks_key ? "tls.certificate" : "tls.key",
                      lacks_key ? "needs tls.key beside it" : "needs tls.certificate beside it");
    }
    if (c_.tls.on()) {
      TRY_DO(file("tls.certificate", c_.tls.certificate));
      TRY_DO(file("tls.key", c_.tls.key));
    }
    if (!c_.tls.extra_ca.empty()) TRY_DO(file("tls.extra_ca", c_.tls.extra_ca));
    return {};
  }

  Result<> registration() const {
    auto& r = c_.registration;
    if (r.mode == Registration::SharedSecret && r.shared_secret_file.empty() && r.shared_secret_name.empty()) {
      return complain("registration.mode", "\"shared_secret\" needs registration.shared_secret_file or shared_secret");
    }
    TRY_DO(from_vault("registration.shared_secret", r.shared_secret_name, r.shared_secret_file));
    TRY(r.shared_secret, secret("registration.shared_secret_file", r.shared_secret_file));
    return {};
  }

  Result<> turn() const {
    if (c_.turn.shared_secret_file.empty() && c_.turn.shared_secret_name.empty() && !c_.turn.uris.empty()) {
      return complain("turn.uris", "needs turn.shared_secret_file or turn.shared_secret beside it");
    }
    TRY_DO(from_vault("turn.shared_secret", c_.turn.shared_secret_name, c_.turn.shared_secret_file));
    TRY(c_.turn.shared_secret, secret("turn.shared_secret_file", c_.turn.shared_secret_file));
    return {};
  }

  Result<> sites() const {
    const auto own = std::ranges::find(c_.sites, c_.site, &cluster::Site::name);
    if (!c_.site.empty() && own == c_.sites.end()) {
      return complain("site", fmt::format("there is no [[sites]] entry with the name {}", c_.site));
    }
    if (c_.sites.empty()) return {};
    if (!c_.shared_store()) return complain("sites", "several sites need store.engine = \"postgresql\"");
    if (c_.site.empty() && !from_outside_)
      return complain("site", "is required: which of [[sites]] this node stands in");
    return {};
  }

  Result<> store() const {
    auto& s = c_.store;
    if (!c_.shared_store()) {
      return s.hosts.empty() ? Result<>{} : complain("store.hosts", "needs store.engine = \"postgresql\"");
    }
    if (s.hosts.empty()) {
      for (const auto& site : c_.sites) {
        // The nearest is asked first.
        s.hosts.insert(site.name == c_.site ? s.hosts.begin() : s.hosts.end(), site.postgresql);
      }
    }
    if (s.hosts.empty()) return complain("store.engine", "\"postgresql\" needs store.hosts or [[sites]]");
    TRY(s.password, secret("store.password_file", s.password_file));
    return {};
  }

  Result<> blobs() const {
    auto& b = c_.blobs;
    if (b.place == BlobPlace::Unset) b.place = c_.shared_store() ? BlobPlace::Database : BlobPlace::Local;
    if (b.place == BlobPlace::Database && !c_.shared_store()) {
      return complain("blobs.store", "\"database\" needs store.engine = \"postgresql\"");
    }
    if (b.place == BlobPlace::Local && c_.shared_store()) {
      return complain("blobs.store", "\"local\" needs store.engine = \"sqlite\": other nodes could not read the media");
    }
    if (b.place != BlobPlace::S3) return {};
    TRY_DO(from_vault("blobs.s3_secret_key", b.s3_secret_key_name, b.s3_secret_key_file));
    const auto& secret_from = b.s3_secret_key_name.empty() ? b.s3_secret_key_file : b.s3_secret_key_name;
    const std::pair<std::string_view, const std::string&> needed[] = {{"s3_endpoint", b.s3_endpoint},
                                                                      {"s3_region", b.s3_region},
                                                                      {"s3_bucket", b.s3_bucket},
                                                                      {"s3_access_key", b.s3_access_key},
                                                                      {"s3_secret_key_file", secret_from}};
    for (const auto& [key, value] : needed) {
      if (value.empty()) return complain("blobs.store", fmt::format("\"s3\" needs blobs.{} beside it", key));
    }
    TRY(b.s3_secret_key, secret("blobs.s3_secret_key_file", b.s3_secret_key_file));
    return {};
  }

  Result<> vault() const {
    if (c_.vault.key_file.empty()) {
      if (c_.sites.empty() || from_outside_) return {};
      return complain("vault.key_file",
                      "is required with [[sites]]: the key that secrets in the database are encrypted with");
    }
    if (from_outside_) return {};
    TRY(const auto text, secret("vault.key_file", c_.vault.key_file));
    const auto bytes = base64_decode(text);
    if (!bytes || bytes->size() != 32) {
      return complain("vault.key_file", fmt::format("the file {} must hold 32 bytes in base64", c_.vault.key_file));
    }
    c_.vault.key.assign(bytes->begin(), bytes->end());
    return {};
  }

  Config& c_;
  std::string_view name_;
  const Lines& lines_;
  bool has_file_;
  bool from_outside_;
};

Result<> apply_flags(Config& c, const Flags& f) {
  if (f.data) {
    if (f.data->empty()) return fail(Errc::Invalid, "--data: expected the path of a folder");
    c.data = *f.data;
  }
  if (f.listen && !set_listen(c, *f.listen)) {
    return fail(Errc::Invalid, fmt::format("--listen: expected ADDR:PORT, such as 127.0.0.1:8008, got {}", *f.listen));
  }
  if (f.server_name) {
    if (!is_server_name(*f.server_name)) {
      return fail(
          Errc::Invalid,
          fmt::format("--server-name: expected a host name or address with an optional port, got {}", *f.server_name));
    }
    c.server_name = *f.server_name;
  }
  if (f.open_registration) {
    c.registration.mode = Registration::Open;
    c.from_flags.push_back("registration.mode");
  }
  if (f.no_rate_limits) {
    c.rate_limits.enabled = false;
    c.from_flags.push_back("rate_limits.enabled");
  }
  return {};
}

}  // namespace

std::string Config::base_url() const {
  if (!public_base_url.empty()) return public_base_url;
  // Nobody can connect to the wildcard address.
  std::string host = address;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  if (host.contains(':')) host = "[" + host + "]";
  return fmt::format("{}://{}:{}", tls.on() ? "https" : "http", host, port);
}

std::string Config::node_name() const {
  if (!node.empty()) return node;
  return address.contains(':') ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
}

Result<Config> parse_config(std::string_view text, std::string_view name, const Flags& flags) {
  Config config;
  Lines lines;
  const auto parsed = toml::parse(text, name);
  if (!parsed) {
    return bad(name, parsed.error().source().begin.line, fmt::format("not TOML: {}", parsed.error().description()));
  }
  TRY_DO(read_table(parsed.table(), "", name, config, lines));
  TRY_DO(apply_flags(config, flags));
  TRY_DO(Check(config, name, lines, true, flags.from_outside).all());
  return config;
}

Result<Config> load_config(const Flags& flags) {
  if (flags.config) {
    TRY(const auto text, read_file(*flags.config));
    return parse_config(text, *flags.config, flags);
  }
  Config config;
  TRY_DO(apply_flags(config, flags));
  const Lines none;
  TRY_DO(Check(config, "flags", none, false, flags.from_outside).all());
  return config;
}

Result<> check_settings(const Config& c) {
  const auto& r = c.registration;
  const bool secret = !r.shared_secret_file.empty() || !r.shared_secret_name.empty();
  if (r.mode == Registration::SharedSecret && !secret) {
    return fail(Errc::Invalid,
                "registration.mode = \"shared_secret\" needs registration.shared_secret = \"vault:NAME\"");
  }
  if (!c.turn.uris.empty() && c.turn.shared_secret_file.empty() && c.turn.shared_secret_name.empty()) {
    return fail(Errc::Invalid, "turn.uris needs turn.shared_secret = \"vault:NAME\"");
  }
  return {};
}

std::optional<Leaf> parse_leaf(std::string_view text) {
  // A bare word is a text: `haechi settings set registration.mode open`.
  for (const bool quote : {false, true}) {
    std::string line = "value = ";
    if (quote) append_json_string(line, text);
    else line += text;
    const auto parsed = toml::parse(line);
    if (!parsed || parsed.table().size() != 1) continue;
    const auto* node = parsed.table().get("value");
    if (node) return leaf_of(*node);
  }
  return std::nullopt;
}

std::string config_example() {
  const Config defaults;
  std::string out = "# Every key of Haechi with its default. Flags of `haechi serve` go over this file.\n";
  std::string section;
  for (const auto& k : config_keys()) {
    const auto dot = k.path.rfind('.');
    const auto in = dot == std::string::npos ? std::string() : k.path.substr(0, dot);
    if (in != section) {
      section = in;
      out += fmt::format("\n[{}]\n", section);
    } else if (!k.meaning.empty()) {
      out += '\n';
    }
    if (!k.meaning.empty()) {
      for (const auto line : split(k.meaning, '\n')) out += fmt::format("# {}\n", line);
    }
    const auto last = dot == std::string::npos ? k.path : k.path.substr(dot + 1);
    out +=
        k.commented ? fmt::format("# {} = \"example.org\"\n", last) : fmt::format("{} = {}\n", last, k.show(defaults));
  }
  out += "\n# One entry for each site, the same list in every site's file.\n# [[sites]]\n";
  for (const auto& k : site_keys()) {
    if (!k.meaning.empty()) out += fmt::format("# {}\n", k.meaning);
    out += fmt::format("# {} = {}\n", k.name, k.example);
  }
  return out;
}

}  // namespace haechi::app
