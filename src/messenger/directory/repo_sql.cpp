#include "messenger/directory/repo.hpp"

namespace haechi::messenger::repo::directory {
namespace {

using store::Row;
using store::Sql;

constexpr Sql kFindAlias{
    "SELECT a.room_num, r.room_id, a.creator FROM aliases a JOIN rooms r ON r.num = a.room_num WHERE a.alias = $1"};
constexpr Sql kAliasesOf{"SELECT alias FROM aliases WHERE room_num = $1 ORDER BY created_ms, alias"};
constexpr Sql kPublished{"SELECT num FROM rooms WHERE published = 1"};
constexpr Sql kInsertAlias{"INSERT INTO aliases (alias, room_num, creator, created_ms) VALUES ($1, $2, $3, $4)"};
constexpr Sql kDeleteAlias{"DELETE FROM aliases WHERE alias = $1"};
constexpr Sql kMoveAliases{"UPDATE aliases SET room_num = $2 WHERE room_num = $1"};
constexpr Sql kSetPublished{"UPDATE rooms SET published = $2 WHERE num = $1"};

}  // namespace

std::optional<AliasRow> find_alias(store::Connection& c, std::string_view alias) {
  return c.one(kFindAlias, [](const Row& r) { return AliasRow{r.i64(0), r.str(1), r.str(2)}; }, alias);
}
std::vector<std::string> aliases_of(store::Connection& c, std::int64_t room_num) {
  return c.all(kAliasesOf, [](const Row& r) { return r.str(0); }, room_num);
}
std::vector<std::int64_t> published_rooms(store::Connection& c) {
  return c.all(kPublished, [](const Row& r) { return r.i64(0); });
}

void insert_alias(store::Connection& c, std::string_view alias, std::int64_t room_num, std::string_view creator,
                  WallMs now) {
  c.put(kInsertAlias, alias, room_num, creator, now);
}
bool delete_alias(store::Connection& c, std::string_view alias) { return c.exec(kDeleteAlias, alias) > 0; }
void move_aliases(store::Connection& c, std::int64_t from, std::int64_t to) { c.put(kMoveAliases, from, to); }
void set_published(store::Connection& c, std::int64_t room_num, bool published) {
  c.put(kSetPublished, room_num, published);
}

}  // namespace haechi::messenger::repo::directory
