#include "app/server_name.hpp"

namespace haechi::app {
namespace {

constexpr std::string_view kSchema = R"sql(
-- What the node remembers of itself. Key: name.
CREATE TABLE node_settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
)sql";
constexpr store::Migration kSteps[] = {{"app", 1, "node settings", kSchema}};

constexpr store::Sql kGet{"SELECT value FROM node_settings WHERE name = 'server_name'"};
constexpr store::Sql kSet{"INSERT INTO node_settings (name, value) VALUES ('server_name', $1)"};

}  // namespace

std::span<const store::Migration> node_migrations() { return kSteps; }

Result<> check_server_name(store::Database& db, std::string_view server_name) try {
  auto c = db.connect(store::Access::ReadWrite);
  const auto known = c->one(kGet, [](const store::Row& r) { return r.str(0); });
  if (!known) {
    c->exec(kSet, server_name);
    return {};
  }
  if (*known == server_name) return {};
  return fail(Errc::Conflict, "this data folder belongs to the server name " + *known + ", not " +
                                  std::string(server_name) + ": user ids hold the name, so it cannot change");
} catch (const store::SqlError& e) {
  return fail(Errc::Io, e.what());
}

}  // namespace haechi::app
