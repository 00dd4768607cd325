#pragma once
// Who has read how far.
// https://spec.matrix.org/v1.19/client-server-api/#receipts

#include <string>
#include <vector>

#include "messenger/user/users.hpp"

namespace haechi::messenger {

inline constexpr std::string_view kMainThread = "main";

/// The thread that an event belongs to by itself: its root's id, or "main".
std::string_view own_thread(const Event& event);
/// Whether the user's receipts cover the event.
bool has_read(const Room& room, std::string_view user, const Event& event);

/// What followers on this node need not parse. `receipt.pos` is the entry's.
struct ReceiptMoved final : journal::Payload {
  std::string user, type, thread;
  Receipt receipt;
};
/// From the payload, or else from the data. Of a kReceipt entry.
ReceiptMoved receipt_of(const journal::Entry& entry);

struct ReceiptMove {
  std::string type;    ///< m.read or m.read.private
  std::string thread;  ///< "" for unthreaded, "main", or a thread root's id
  EventPtr event;
};

/// Loop thread only.
class Receipts final : public RoomObserver {
 public:
  Receipts(Rooms& rooms, Users& users, journal::Journal& journal) : rooms_(rooms), users_(users), journal_(journal) {}

  /// Follows the feed. Before Users::start, so that who is woken by a receipt finds it in its room.
  void start();

  void on_event(Room&, const EventPtr&) override {}
  void on_missed(Room& room, const journal::Entry& receipt) override { (void)apply(room, receipt); }

  /// Receipts only move forward, in the order of the room; what would go back is passed over.
  Task<Result<>> move(RoomPtr room, std::string user, std::vector<ReceiptMove> moves);

  /// Errc::InvalidParam when `thread` does not hold the event.
  Task<Result<>> check_thread(RoomPtr room, EventPtr event, std::string thread);

 private:
  void follow(std::span<const journal::Entry> entries);
  /// Returns whose it is.
  static std::string apply(Room& room, const journal::Entry& entry);
  Rooms& rooms_;
  Users& users_;
  journal::Journal& journal_;
};

}  // namespace haechi::messenger
