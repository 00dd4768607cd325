#include "messenger/user/repo.hpp"

namespace haechi::messenger::repo {
namespace {
using store::Row;
using store::Sql;
constexpr Sql kHead{"SELECT pos FROM journal_head WHERE id = 1"};
constexpr Sql kMemberships{
    "SELECT m.room_num, r.room_id, m.membership, m.pos, m.forgotten FROM memberships m "
    "JOIN rooms r ON r.num = m.room_num WHERE m.user_id = $1"};
constexpr Sql kPushRules{"SELECT rules, pos FROM push_rules WHERE user_id = $1"};
constexpr Sql kAccountData{"SELECT MAX(pos) FROM account_data WHERE user_id = $1"};
constexpr Sql kIgnored{
    "SELECT content FROM account_data WHERE user_id = $1 AND room_id = '' AND type = 'm.ignored_user_list'"};
constexpr Sql kToDevice{"SELECT device_id, MAX(pos) FROM to_device WHERE user_id = $1 GROUP BY device_id"};
}  // namespace

LoadedUser load_user(store::Connection& c, std::string_view user) {
  LoadedUser out;
  out.head = c.one_i64(kHead).value_or(0);
  c.each(
      kMemberships,
      [&](const Row& r) {
        out.rooms.emplace_back(r.i64(0), RoomRef{.room_id = r.str(1),
                                                 .membership = membership_of(r.text(2)),
                                                 .pos = r.i64(3),
                                                 .forgotten = r.i64(4) != 0,
                                                 .unread = {}});
      },
      user);
  out.account_data_pos = c.one_i64(kAccountData, user).value_or(0);
  c.each(
      kPushRules,
      [&](const Row& r) {
        out.push_rules = r.str(0);
        out.account_data_pos = std::max(out.account_data_pos, r.i64(1));
      },
      user);
  c.each(kIgnored, [&](const Row& r) { out.ignored = r.str(0); }, user);
  c.each(kToDevice, [&](const Row& r) { out.to_device.emplace_back(r.str(0), r.i64(1)); }, user);
  return out;
}

}  // namespace haechi::messenger::repo
