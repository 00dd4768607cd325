#pragma once
// The only way an event comes into a room: authorised against the room's head,
// hashed, queued in the journal, visible once durable.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "journal/journal.hpp"
#include "messenger/room/rooms.hpp"

namespace haechi::messenger {

struct NewEvent {
  std::string sender;
  std::string type;
  std::optional<std::string> state_key;
  json::object content;
  std::string device;  ///< "user|device", where a device sent it
  std::string txn_id;
  EventPtr redact_target;    ///< for m.room.redaction: what it redacts, committed
  std::optional<WallMs> ts;  ///< appservices only
  /// Asked for because of what the head says: where another node changed the room meanwhile,
  /// send() answers with journal::Errc::Stale, and the caller looks again.
  bool made_from_head = false;
};

/// Extra rows of the same command (an alias, a directory entry); runs in the journal's transaction.
/// A refusal undoes the whole command.
using ExtraRows = std::function<Result<>(journal::Tx&)>;

class Writer {
 public:
  Writer(Rooms& rooms, journal::Journal& journal, const Clock& clock)
      : rooms_(rooms), journal_(journal), clock_(clock) {}

  /// Sends one event. With a claim the event id becomes the claim's answer.
  /// EventErrc::Forbidden by the room's rules; EventErrc::BadJson, TooLarge for what does not fit;
  /// Errc::Unavailable of base when other nodes were quicker time and again.
  /// Where another node answered the claim meanwhile, it is that event.
  Task<Result<EventPtr>> send(RoomPtr room, NewEvent event, std::optional<journal::Claim> claim = std::nullopt);

  /// All or none, in order. Where another node answered the claim meanwhile: its last event alone.
  Task<Result<std::vector<EventPtr>>> send_all(RoomPtr room, std::vector<NewEvent> events, ExtraRows extra = nullptr,
                                               std::optional<journal::Claim> claim = std::nullopt);

  /// A room whose first event is `events[0]`, m.room.create. For versions with
  /// hashed room ids `room_id` is ignored. The answer of a claim is the room id.
  Task<Result<RoomPtr>> create_room(const RoomVersion& version, std::string room_id, std::vector<NewEvent> events,
                                    std::function<ExtraRows(const Room&)> extra,
                                    std::optional<journal::Claim> claim = std::nullopt);

  /// Whether the room's rules would let this in now; builds nothing.
  Result<> would_allow(const Room& room, const NewEvent& event) const;

 private:
  struct Prepared;
  static NewEvent anew(const Event& made, EventPtr redact_target, std::optional<WallMs> ts);
  /// Whether other nodes had written something that this one had not followed when it refused.
  Task<bool> may_look_again(const Error& error);
  Task<bool> may_retry(const Error& error, journal::Position decided_at, int tries);
  Result<std::unique_ptr<Prepared>> prepare(const RoomPtr& room, NewEvent& event);
  Result<std::string> hashed_room_id(const RoomVersion& version, NewEvent& create) const;
  static void write(journal::Tx& tx, Prepared& p);
  Rooms& rooms_;
  journal::Journal& journal_;
  const Clock& clock_;
};

}  // namespace haechi::messenger
