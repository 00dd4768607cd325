#pragma once
// Who is there. In memory of the node; what users set themselves is stored.
// https://spec.matrix.org/v1.19/client-server-api/#presence
//
// Each node knows who is there by its own syncs and tells the others; a user is as
// present as on the node where they are most. What was heard of a node that has
// fallen silent is believed for a while only.
//
// A sync that changes nothing costs one look-up. Changes are told to those who
// share a room at most once a second, all that came meanwhile together. Rooms
// with more than kCrowdMax members do not carry presence: what everybody there
// does would have to be told to everybody, which is quadratic work for nothing.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "messenger/account/ports.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

enum class PresenceState : unsigned char { Offline, Unavailable, Online };
std::optional<PresenceState> parse_presence(std::string_view text);
std::string_view to_string(PresenceState state);

/// Loop thread only.
class Presence final : public PresenceReader, public RoomObserver {
 public:
  enum class Switch { Off, On };
  static constexpr std::size_t kCrowdMax = 500;
  Presence(Loop& loop, Rooms& rooms, Users& users, journal::Journal& journal, Switch on);

  /// Reads what was set. Before the journal starts.
  Result<> start(store::Database& db);

  /// The user's own word; stored, and told at once.
  Task<Result<>> set(std::string user, PresenceState state, std::optional<std::string> status);
  /// The content of the user's m.presence.
  json::object of(std::string_view user) const;
  bool share_a_room(const UserState& user, std::string_view other) const;

  std::vector<std::string> changed(const UserState& user, std::int64_t stamp) override;
  void seen(const std::string& user, std::string_view set_presence, std::string_view device = {}) override;

  void on_event(Room& room, const EventPtr& event) override;

 private:
  /// What another node said of a user.
  struct Elsewhere {
    std::string node;
    PresenceState state = PresenceState::Offline;
    Instant heard{};
    std::vector<std::int64_t> rooms;  ///< where it must be told
  };
  struct Known {
    PresenceState state = PresenceState::Offline;  ///< on whichever node they are most
    PresenceState here = PresenceState::Offline;
    std::vector<Elsewhere> elsewhere;
    std::optional<std::string> status;
    WallMs active_ms = 0;
    Instant seen{};          ///< the last sync that said so
    Instant online{};        ///< the last one that said online: another device may say less
    std::string online_by;   ///< and its device, which may say less at once
    std::int64_t stamp = 0;  ///< of the last change that was told; 0: none
    bool pending = false;    ///< changed, not told yet
  };
  struct Arrival {
    std::int64_t stamp;
    std::int64_t room_num;
  };
  /// Brings `state` up to date; notes a change.
  void weigh(const std::string& user, Known& known);
  void note_change(const std::string& user, Known& known);
  /// To the other nodes, with the next telling.
  void say(const std::string& user);
  void say_now(bool with_rooms);
  void hear(std::string_view message);
  enum class Why { Seen, SetByHand };
  void hear_one(const json::object& said, Why why);
  json::object said_of(std::string_view user, PresenceState here, WallMs active_ms) const;
  json::array rooms_of(std::string_view user) const;
  template <class F>
  void each_changed(const UserState& user, std::int64_t stamp, F look) const;
  void stamp(const std::string& user, Known& known);
  void tell();
  void sweep();
  void joined(Room& room, const std::string& user);
  std::string event_of(std::string_view user, const Known& known) const;
  json::object content_of(const Known& known) const;

  Loop& loop_;
  Rooms& rooms_;
  Users& users_;
  journal::Journal& journal_;
  const bool on_;
  TextMap<Known> known_;
  std::map<std::int64_t, std::string> by_stamp_;  ///< stamp of the last change -> user
  TextMap<std::vector<Arrival>> arrivals_;        ///< rooms that somebody has just joined
  std::vector<std::string> pending_;
  TextSet unsaid_;
  int sweeps_ = 0;
  Instant told_{};
  TimerQueue::Timer tell_timer_;
  TimerQueue::Timer sweep_timer_;
};

}  // namespace haechi::messenger
