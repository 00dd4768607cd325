#include <fmt/format.h>

#include <chrono>
#include <map>

#include "base/log.hpp"
#include "store/store.hpp"

namespace haechi::store {
namespace {

constexpr std::string_view kCreate = R"sql(
-- Which steps of which module's schema this database has. Key: module, number.
CREATE TABLE IF NOT EXISTS migrations(
  module TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, applied_ms BIGINT NOT NULL,
  PRIMARY KEY(module, number));
)sql";
constexpr Sql kApplied{"SELECT module, max(number) FROM migrations GROUP BY module"};
constexpr Sql kRecord{"INSERT INTO migrations(module, number, name, applied_ms) VALUES($1, $2, $3, $4)"};

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

using Applied = std::map<std::string, std::int64_t, std::less<>>;

Applied read_applied(Connection& c) {
  Applied applied;
  c.each(kApplied, [&](const Row& r) { applied[r.str(0)] = r.i64(1); });
  return applied;
}

/// Another node may be doing the same at this moment: it does, or waits and finds it done.
template <class F>
void alone(Connection& c, F work) {
  c.begin();
  try {
    c.exclusive();
    work();
    c.commit();
  } catch (...) {
    c.rollback();
    throw;
  }
}

void apply(Connection& c, const Migration& step) {
  alone(c, [&] {
    const auto applied = read_applied(c);
    if (const auto it = applied.find(step.module); it != applied.end() && it->second >= step.number) return;
    c.script(step.sql);
    c.exec(kRecord, step.module, step.number, step.name, now_ms());
    log::info("schema step applied", {{"module", step.module}, {"number", step.number}, {"name", step.name}});
  });
}

}  // namespace

Result<> migrate(Database& db, std::span<const Migration> steps) try {
  auto c = db.connect(Access::ReadWrite);
  alone(*c, [&] { c->script(kCreate); });
  auto applied = read_applied(*c);

  std::map<std::string_view, int> known;
  for (const auto& s : steps) known[s.module] = std::max(known[s.module], s.number);
  for (const auto& [module, number] : known) {
    if (const auto it = applied.find(module); it != applied.end() && it->second > number) {
      return fail(Errc::Conflict, fmt::format("the database is newer than this program: {} has step {}, known is {}",
                                              module, it->second, number));
    }
  }
  for (const auto& s : steps) {
    auto& done = applied[std::string(s.module)];
    if (s.number <= done) continue;
    apply(*c, s);
    done = s.number;
  }
  return {};
} catch (const ConnectionLost& e) {
  return fail(Errc::Unavailable, std::string("migration: ") + e.what());
} catch (const SqlError& e) {
  return fail(Errc::Io, std::string("migration: ") + e.what());
}

}  // namespace haechi::store
