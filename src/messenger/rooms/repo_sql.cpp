#include "messenger/rooms/repo.hpp"

namespace haechi::messenger::repo::rooms {
namespace {

using store::Row;
using store::Sql;

constexpr Sql kMembership{"SELECT membership FROM memberships WHERE user_id = $1 AND room_num = $2"};
constexpr Sql kForget{"UPDATE memberships SET forgotten = 1 WHERE user_id = $1 AND room_num = $2 AND forgotten = 0"};
constexpr Sql kJoinedRooms{
    "SELECT r.room_id FROM memberships m JOIN rooms r ON r.num = m.room_num "
    "WHERE m.user_id = $1 AND m.membership = 'join' ORDER BY m.room_num"};
constexpr Sql kLastReport{"SELECT MAX(id) FROM reports"};
constexpr Sql kInsertReport{
    "INSERT INTO reports (id, reporter, room_id, event_id, user_id, score, reason, at_ms) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"};

}  // namespace

std::string membership(store::Connection& c, std::int64_t room, std::string_view user) {
  return c.one(kMembership, [](const Row& r) { return r.str(0); }, user, room).value_or("");
}

bool forget(store::Connection& c, std::int64_t room, std::string_view user) { return c.exec(kForget, user, room) > 0; }

std::vector<std::string> joined_rooms(store::Connection& c, std::string_view user) {
  return c.all(kJoinedRooms, [](const Row& r) { return r.str(0); }, user);
}

void insert_report(store::Connection& c, const ReportRow& report, WallMs now) {
  const auto id = c.one_i64(kLastReport).value_or(0) + 1;
  c.put(kInsertReport, id, report.reporter, report.room_id, report.event_id, report.user_id, report.score,
        report.reason, now);
}

}  // namespace haechi::messenger::repo::rooms
