#include "app/settings.hpp"

#include <algorithm>

#include "app/config_keys.hpp"
#include "base/log.hpp"

namespace haechi::app {
namespace {

bool has(const auto& range, std::string_view value) { return std::ranges::find(range, value) != std::end(range); }

}  // namespace

namespace settings {
namespace {

constexpr std::string_view kSchema = R"sql(
-- Settings that go over those of the file, for all nodes. Key: the name, as in the file.
CREATE TABLE operator_settings (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL,
  changed_ms BIGINT NOT NULL
);
)sql";
constexpr store::Migration kSteps[] = {{"settings", 1, "operator settings", kSchema}};

constexpr store::Sql kList{"SELECT name, value, changed_ms FROM operator_settings ORDER BY name"};
constexpr store::Sql kSet{
    "INSERT INTO operator_settings (name, value, changed_ms) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET "
    "value = excluded.value, changed_ms = excluded.changed_ms"};
constexpr store::Sql kErase{"DELETE FROM operator_settings WHERE name = $1"};

/// What belongs to one machine, one site or the way to the database is not among them.
constexpr std::string_view kPrefixes[] = {"registration.", "rate_limits.", "media.",   "push.",
                                          "preview.",      "well_known.",  "password."};
constexpr std::string_view kNames[] = {"public_base_url", "default_room_version", "presence",
                                       "turn.uris",       "turn.shared_secret",   "turn.lifetime_s"};
constexpr std::string_view kNot[] = {"registration.shared_secret_file"};

const Key& key_of(std::string_view name) { return *std::ranges::find(config_keys(), name, &Key::path); }

}  // namespace

std::span<const store::Migration> migrations() { return kSteps; }

const std::vector<std::string>& names() {
  static const auto all = [] {
    std::vector<std::string> out;
    for (const auto& key : config_keys()) {
      const bool wanted = has(kNames, key.path) ||
                          std::ranges::any_of(kPrefixes, [&](std::string_view p) { return key.path.starts_with(p); });
      if (wanted && !has(kNot, key.path)) out.push_back(key.path);
    }
    return out;
  }();
  return all;
}

Result<> apply(Config& config, std::string_view name, std::string_view value) {
  if (!has(names(), name)) {
    return fail(Errc::NotFound, "there is no setting " + std::string(name) + ": see haechi settings list");
  }
  const auto& key = key_of(name);
  const auto leaf = parse_leaf(value);
  if (leaf && key.set(config, *leaf)) return {};
  return fail(Errc::Invalid, std::string(name) + ": expected " + key.expected + ", got " + std::string(value));
}

std::string shown(const Config& config, std::string_view name) { return key_of(name).show(config); }

Result<std::string> check(std::string_view name, std::string_view text) {
  Config scratch;
  TRY_DO(apply(scratch, name, text));
  return shown(scratch, name);
}

std::vector<StoredSetting> list(store::Connection& c) {
  return c.all(kList, [](const store::Row& r) { return StoredSetting{r.str(0), r.str(1), r.i64(2)}; });
}

void set(store::Connection& c, std::string_view name, std::string_view value, WallMs now) {
  c.exec(kSet, name, value, now);
}

bool erase(store::Connection& c, std::string_view name) { return c.exec(kErase, name) > 0; }

}  // namespace settings

Result<> apply_stored_settings(store::Database& db, Config& config) try {
  const auto c = db.connect(store::Access::ReadOnly);
  auto over_file = config;
  for (const auto& one : settings::list(*c)) {
    if (has(config.from_flags, one.name)) continue;
    // A newer program's setting, or one that has gone: no reason not to serve.
    if (auto applied = settings::apply(over_file, one.name, one.value); !applied) {
      log::warn("a stored setting is not used", {{"name", one.name}, {"why", applied.error().message}});
    }
  }
  TRY_DO(check_settings(over_file));
  config = std::move(over_file);
  return {};
} catch (const store::SqlError& e) {
  return fail(Errc::Io, e.what());
}

}  // namespace haechi::app
