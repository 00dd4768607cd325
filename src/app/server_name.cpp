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
// Of several nodes that start on a new database one is first.
constexpr store::Sql kSet{
    "INSERT INTO node_settings (name, value) VALUES ('server_name', $1) ON CONFLICT (name) DO NOTHING"};

}  // namespace

std::span<const store::Migration> node_migrations() { return kSteps; }

Result<> check_server_name(store::Database& db, std::string_view server_name) try {
  auto c = db.connect(store::Access::ReadWrite);
  const auto known = [&] { return c->one(kGet, [](const store::Row& r) { return r.str(0); }); };
  auto name = known();
  if (!name) {
    c->exec(kSet, server_name);
    name = known();
  }
  if (name == server_name) return {};
  return fail(Errc::Conflict, "this database belongs to the server name " + name.value_or("") + ", not " +
                                  std::string(server_name) + ": user ids hold the name, so it cannot change");
} catch (const store::SqlError& e) {
  return fail(Errc::Io, e.what());
}

}  // namespace haechi::app
