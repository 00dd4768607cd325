#pragma once
// The table of all keys: reading, refusing and documenting come from it alone.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/config.hpp"

namespace haechi::app {

/// A leaf of the file. Numbers written as integers are integers.
using Leaf = std::variant<std::monostate, std::string, std::int64_t, double, bool, std::vector<std::string>>;

struct Key {
  std::string path;        ///< "media.upload_bytes_max"
  std::string meaning;     ///< for the example; several lines where needed
  std::string expected;    ///< "a number of bytes, 1 or more"
  bool commented = false;  ///< shown commented out: it has no default worth writing
  /// False when the value is not what is expected.
  std::function<bool(Config&, const Leaf&)> set;
  /// The value as TOML.
  std::function<std::string(const Config&)> show;
};

std::span<const Key> config_keys();
/// A value as TOML writes it, or a bare word; nothing when it is neither.
std::optional<Leaf> parse_leaf(std::string_view text);

/// A key of one [[sites]] entry.
struct SiteKey {
  std::string name;
  std::string meaning;
  std::string expected;
  std::string example;  ///< as TOML
  std::function<bool(cluster::Site&, const Leaf&)> set;
};
std::span<const SiteKey> site_keys();
/// "ADDR:PORT" or "[ADDR6]:PORT"; the port may be 0.
bool set_listen(Config& config, std::string_view text);
bool is_server_name(std::string_view text);

}  // namespace haechi::app
