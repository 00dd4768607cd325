#include "app/parts.hpp"

#include <filesystem>

#include "app/server_name.hpp"
#include "app/settings.hpp"
#include "app/vault.hpp"
#include "blob/media.hpp"
#include "journal/journal.hpp"
#include "messenger/migrations.hpp"

namespace haechi::app {

Result<std::unique_ptr<store::Database>> open_store(const Config& config) {
  std::error_code ec;
  std::filesystem::create_directories(config.data, ec);
  if (ec) return fail(Errc::Io, "data folder " + config.data + ": " + ec.message());
  std::filesystem::permissions(config.data, std::filesystem::perms::owner_all, ec);
  if (!config.shared_store()) return store::open_sqlite({.path = config.data + "/haechi.db"});
  return store::open_postgres({.hosts = config.store.hosts,
                               .database = config.store.database,
                               .user = config.store.user,
                               .password = config.store.password});
}

Result<std::unique_ptr<store::Database>> open_schema(const Config& config) {
  auto db = open_store(config);
  if (!db && db.error().is(Errc::Conflict)) {
    return fail(Errc::Conflict, "a node uses the data folder " + config.data + ": stop it first");
  }
  if (!db) return db;
  const auto steps = all_migrations();
  TRY_DO(store::migrate(**db, steps));
  return db;
}

std::vector<store::Migration> all_migrations() {
  std::vector<store::Migration> all;
  for (const auto steps :
       {node_migrations(), journal::Journal::migrations(), identity::Identity::migrations(), blob::Media::migrations(),
        messenger::migrations(), vault::migrations(), settings::migrations()}) {
    all.insert(all.end(), steps.begin(), steps.end());
  }
  return all;
}

identity::Rate rate_of(const Config& config, const RateConfig& rate) {
  return config.rate_limits.enabled ? identity::Rate{rate.per_second, rate.burst} : identity::Rate{0, 1};
}

identity::Options identity_options(const Config& config) {
  identity::Options o;
  o.accounts.server_name = config.server_name;
  o.accounts.login_rate = rate_of(config, config.rate_limits.logins);
  o.passwords.memory_mib = static_cast<std::size_t>(config.password.memory_mib);
  o.passwords.passes = static_cast<unsigned>(config.password.passes);
  o.passwords.threads = static_cast<std::size_t>(config.password.threads);
  o.passwords.length_min = static_cast<std::size_t>(config.password.length_min);
  return o;
}

}  // namespace haechi::app
