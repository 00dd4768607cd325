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

Result<> read_table(const toml::table& table, const std::string& prefix, std::string_view name, Config& config,
                    Lines& lines) {
  for (const auto& [k, node] : table) {
    const std::string path = prefix + std::string(k.str());
    const unsigned line = k.source().begin.line;
    lines[path] = line;
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
Result<> check(Config& c, std::string_view name, const Lines& lines, bool has_file) {
  const auto complain = [&](std::string_view key, std::string_view what) {
    const auto line = lines.find(key);
    return bad(name, line == lines.end() ? 0 : line->second, fmt::format("{}: {}", key, what));
  };
  const auto file = [&](std::string_view key, const std::string& path) -> Result<std::string> {
    auto text = read_file(path);
    if (!text) return complain(key, text.error().message);
    if (trim(*text).empty()) return complain(key, fmt::format("the file {} is empty", path));
    return text;
  };
  if (c.server_name.empty()) {
    return has_file
               ? complain("server_name", "is required: a host name such as \"example.org\", here or as --server-name")
               : fail(Errc::Invalid, "--server-name is required: a host name such as example.org");
  }
  if (c.tls.certificate.empty() != c.tls.key.empty()) {
    const bool lacks_key = c.tls.key.empty();
    return complain(lacks_key ? "tls.certificate" : "tls.key",
                    lacks_key ? "needs tls.key beside it" : "needs tls.certificate beside it");
  }
  if (c.tls.on()) {
    TRY_DO(file("tls.certificate", c.tls.certificate));
    TRY_DO(file("tls.key", c.tls.key));
  }
  if (!c.tls.extra_ca.empty()) TRY_DO(file("tls.extra_ca", c.tls.extra_ca));
  if (c.registration.mode == Registration::SharedSecret && c.registration.shared_secret_file.empty()) {
    return complain("registration.mode", "\"shared_secret\" needs registration.shared_secret_file");
  }
  if (!c.registration.shared_secret_file.empty()) {
    TRY(const auto text, file("registration.shared_secret_file", c.registration.shared_secret_file));
    c.registration.shared_secret = trim(text);
  }
  if (!c.turn.shared_secret_file.empty()) {
    TRY(const auto text, file("turn.shared_secret_file", c.turn.shared_secret_file));
    c.turn.shared_secret = trim(text);
  } else if (!c.turn.uris.empty()) {
    return complain("turn.uris", "needs turn.shared_secret_file beside it");
  }
  return {};
}

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
  if (f.open_registration) c.registration.mode = Registration::Open;
  if (f.no_rate_limits) c.rate_limits.enabled = false;
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

Result<Config> parse_config(std::string_view text, std::string_view name, const Flags& flags) {
  Config config;
  Lines lines;
  const auto parsed = toml::parse(text, name);
  if (!parsed) {
    return bad(name, parsed.error().source().begin.line, fmt::format("not TOML: {}", parsed.error().description()));
  }
  TRY_DO(read_table(parsed.table(), "", name, config, lines));
  TRY_DO(apply_flags(config, flags));
  TRY_DO(check(config, name, lines, true));
  return config;
}

Result<Config> load_config(const Flags& flags) {
  if (flags.config) {
    TRY(const auto text, read_file(*flags.config));
    return parse_config(text, *flags.config, flags);
  }
  Config config;
  TRY_DO(apply_flags(config, flags));
  TRY_DO(check(config, "flags", {}, false));
  return config;
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
  return out;
}

}  // namespace haechi::app
