#include "messenger/ephemeral/repo.hpp"

namespace haechi::messenger::repo {
namespace {

using store::Row;
using store::Sql;

constexpr Sql kReceiptPos{
    "SELECT event_pos FROM receipts WHERE room_num = $1 AND user_id = $2 AND type = $3 AND thread_id = $4"};
constexpr Sql kPutReceipt{
    "INSERT INTO receipts (room_num, user_id, type, thread_id, event_id, event_pos, ts, pos) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (room_num, user_id, type, thread_id) DO UPDATE SET "
    "event_id = excluded.event_id, event_pos = excluded.event_pos, ts = excluded.ts, pos = excluded.pos"};
constexpr Sql kPresence{"SELECT user_id, presence, status_msg, last_active_ms FROM presence"};
constexpr Sql kPutPresence{
    "INSERT INTO presence (user_id, presence, status_msg, last_active_ms) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (user_id) DO UPDATE SET presence = excluded.presence, status_msg = excluded.status_msg, "
    "last_active_ms = excluded.last_active_ms"};

}  // namespace

Position receipt_event_pos(store::Connection& c, std::int64_t room, std::string_view user, std::string_view type,
                           std::string_view thread) {
  return c.one_i64(kReceiptPos, room, user, type, thread).value_or(0);
}

void put_receipt(store::Connection& c, std::int64_t room, std::string_view user, std::string_view type,
                 std::string_view thread, const Receipt& r) {
  c.put(kPutReceipt, room, user, type, thread, r.event_id, r.event_pos, r.ts, r.pos);
}

void each_presence(store::Connection& c, const std::function<void(StoredPresence)>& f) {
  c.each(kPresence, [&](const Row& r) { f({r.str(0), r.str(1), r.opt_str(2), r.i64(3)}); });
}

void put_presence(store::Connection& c, const StoredPresence& p) {
  c.put(kPutPresence, p.user, p.presence, p.status, p.active_ms);
}

}  // namespace haechi::messenger::repo
