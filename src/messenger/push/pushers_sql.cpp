#include "messenger/push/pushers_repo.hpp"

namespace haechi::messenger::repo {
namespace {

using store::Row;
using store::Sql;

constexpr Sql kAll{"SELECT user_id, app_id, pushkey, device_id, definition FROM pushers"};
constexpr Sql kPut{
    "INSERT INTO pushers (user_id, app_id, pushkey, device_id, definition, pos) VALUES ($1, $2, $3, $4, $5, $6) "
    "ON CONFLICT (user_id, app_id, pushkey) DO UPDATE SET device_id = excluded.device_id, "
    "definition = excluded.definition, pos = excluded.pos"};
constexpr Sql kDelete{"DELETE FROM pushers WHERE user_id = $1 AND app_id = $2 AND pushkey = $3"};
constexpr Sql kDeleteOfDevice{"DELETE FROM pushers WHERE user_id = $1 AND device_id = $2"};
constexpr Sql kOwners{"SELECT user_id FROM pushers WHERE app_id = $1 AND pushkey = $2"};
constexpr Sql kCount{"SELECT COUNT(*) FROM pushers WHERE user_id = $1"};

}  // namespace

void each_pusher(store::Connection& c, const std::function<void(Pusher)>& f) {
  c.each(kAll, [&](const Row& r) { f(pusher_from_row(r.str(0), r.str(1), r.str(2), r.str(3), r.text(4))); });
}

void put_pusher(store::Connection& c, const Pusher& p, Position pos) {
  c.put(kPut, p.user_id, p.app_id, p.pushkey, p.device_id, stored_definition(p), pos);
}

std::int64_t delete_pusher(store::Connection& c, std::string_view user, std::string_view app_id,
                           std::string_view pushkey) {
  return c.exec(kDelete, user, app_id, pushkey);
}

std::int64_t delete_pushers_of_device(store::Connection& c, std::string_view user, std::string_view device) {
  return c.exec(kDeleteOfDevice, user, device);
}

std::vector<std::string> pusher_owners(store::Connection& c, std::string_view app_id, std::string_view pushkey) {
  return c.all(kOwners, [](const Row& r) { return r.str(0); }, app_id, pushkey);
}

std::int64_t count_pushers(store::Connection& c, std::string_view user) { return c.one_i64(kCount, user).value_or(0); }

}  // namespace haechi::messenger::repo
