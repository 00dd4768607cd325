#include "messenger/ephemeral/receipts.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "messenger/ephemeral/repo.hpp"
#include "messenger/errc.hpp"
#include "messenger/kinds.hpp"
#include "messenger/push/unread.hpp"

namespace haechi::messenger {
namespace {

/// A reaction to an edit of a reply in a thread is in that thread.
constexpr int kHopsMax = 3;

std::string feed_data(const ReceiptMoved& m) {
  return to_text(json::object{{"user", m.user},
                              {"type", m.type},
                              {"thread", m.thread},
                              {"event_id", m.receipt.event_id},
                              {"event_pos", m.receipt.event_pos},
                              {"ts", m.receipt.ts}});
}

ReceiptMoved from_feed(std::string_view data) {
  const auto o = must_parse_object(data);
  ReceiptMoved m;
  m.user = get_string(o, "user").value_or("");
  m.type = get_string(o, "type").value_or("");
  m.thread = get_string(o, "thread").value_or("");
  m.receipt.event_id = get_string(o, "event_id").value_or("");
  m.receipt.event_pos = get_int(o, "event_pos").value_or(0);
  m.receipt.ts = get_int(o, "ts").value_or(0);
  return m;
}

Position in_memory(const Room& room, std::string_view user, const ReceiptMove& move) {
  const auto it = room.receipts.find(user);
  if (it == room.receipts.end()) return 0;
  const auto at = it->second.find({move.type, move.thread});
  return at == it->second.end() ? 0 : at->second.event_pos;
}

}  // namespace

std::string_view own_thread(const Event& e) {
  return e.relation && e.relation->rel_type == "m.thread" ? std::string_view(e.relation->event_id) : kMainThread;
}

bool has_read(const Room& room, std::string_view user, const Event& event) {
  const auto it = room.receipts.find(user);
  if (it == room.receipts.end()) return false;
  const auto thread = own_thread(event);
  return std::ranges::any_of(it->second, [&](const auto& r) {
    return (r.first.second.empty() || r.first.second == thread) && r.second.event_pos >= event.pos;
  });
}

ReceiptMoved receipt_of(const journal::Entry& entry) {
  const auto* local = dynamic_cast<const ReceiptMoved*>(entry.local.get());
  ReceiptMoved moved = local ? *local : from_feed(entry.data);
  moved.receipt.pos = entry.pos;
  return moved;
}

void Receipts::start() {
  journal_.subscribe([this](std::span<const journal::Entry> entries) { follow(entries); });
  rooms_.observe(*this);
}

Task<Result<>> Receipts::move(RoomPtr room, std::string user, std::vector<ReceiptMove> moves) {
  std::erase_if(moves, [&](const ReceiptMove& m) { return m.event->pos <= in_memory(*room, user, m); });
  if (moves.empty()) co_return Result<>{};
  // `room` stays in this frame, and so in memory, until the follower has seen the entry.
  co_return co_await journal_.submit([id = room->id, num = room->num, user, moves](journal::Tx& tx) -> Result<> {
    for (const auto& m : moves) {
      if (m.event->pos <= repo::receipt_event_pos(tx.sql(), num, user, m.type, m.thread)) continue;
      auto moved = std::make_shared<ReceiptMoved>();
      moved->user = user;
      moved->type = m.type;
      moved->thread = m.thread;
      moved->receipt = {.event_id = m.event->event_id, .event_pos = m.event->pos, .ts = tx.wall_ms(), .pos = 0};
      moved->receipt.pos = tx.append(kind::kReceipt, id, feed_data(*moved), moved);
      repo::put_receipt(tx.sql(), num, user, m.type, m.thread, moved->receipt);
    }
    return {};
  });
}

Task<Result<>> Receipts::check_thread(RoomPtr room, EventPtr event, std::string thread) {
  const auto wrong = [&] { return fail(Errc::InvalidParam, "The event is not in the thread " + thread); };
  if (event->event_id == thread) co_return Result<>{};
  if (thread == kMainThread) {
    if (own_thread(*event) != kMainThread) co_return wrong();
    co_return Result<>{};
  }
  for (int hop = 0; event && event->relation && hop < kHopsMax; ++hop) {
    if (event->relation->event_id == thread) co_return Result<>{};
    if (event->relation->rel_type == "m.thread") break;
    auto parent = co_await rooms_.event(room, event->relation->event_id);
    if (!parent) break;
    event = *std::move(parent);
  }
  co_return wrong();
}

void Receipts::follow(std::span<const journal::Entry> entries) {
  for (const auto& e : entries) {
    if (e.kind != kind::kReceipt) continue;
    const auto room = rooms_.find(e.subject);
    if (!room) continue;  // will be read when it is loaded
    if (auto* user = users_.find(apply(*room, e))) UnreadCounter::forget(*user, room->num);
  }
}

std::string Receipts::apply(Room& room, const journal::Entry& entry) {
  auto moved = receipt_of(entry);
  room.last_receipt_pos = std::max(room.last_receipt_pos, entry.pos);
  auto& slot = room.receipts[moved.user][{moved.type, moved.thread}];
  // What the room was loaded with may be newer than what the feed tells just now.
  if (slot.pos < entry.pos) slot = std::move(moved.receipt);
  return std::move(moved.user);
}

}  // namespace haechi::messenger
