#pragma once
// Settings that the operator keeps in the database, so that every node of every site has the
// same: they go over the file's, flags go over both. A node reads them when it starts.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "store/store.hpp"

namespace haechi::app {

struct StoredSetting {
  std::string name;
  std::string value;  ///< as TOML writes it
  WallMs changed_ms = 0;
};

namespace settings {

std::span<const store::Migration> migrations();
/// The keys of the file that may be kept in the database: what concerns all nodes alike.
const std::vector<std::string>& names();
/// `text` as TOML or, where that is shorter to write, a bare word; given back as TOML. Errc::Invalid
/// says what is expected; Errc::NotFound when there is no such setting.
Result<std::string> check(std::string_view name, std::string_view text);
/// Into the configuration.
Result<> apply(Config& config, std::string_view name, std::string_view value);
/// As the configuration has it, in TOML.
std::string shown(const Config& config, std::string_view name);

std::vector<StoredSetting> list(store::Connection& c);
void set(store::Connection& c, std::string_view name, std::string_view value, WallMs now);
bool erase(store::Connection& c, std::string_view name);

}  // namespace settings

/// Reads all of them into the configuration, but for what a flag has set. The schema must be there.
Result<> apply_stored_settings(store::Database& db, Config& config);

}  // namespace haechi::app
