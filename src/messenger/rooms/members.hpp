#pragma once
#include "journal/journal.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/room/writer.hpp"
#include "messenger/rooms/ports.hpp"
#include "store/store.hpp"

namespace haechi::messenger {

/// Who acts: the session's user, from which device.
struct Actor {
  std::string user;
  std::string device;
  bool guest = false;
};
inline Actor actor_of(const identity::Session& s) { return {s.user_id, device_key(s), s.guest}; }

/// In and out of rooms. Every move is an m.room.member event that the room's rules let in.
class Members {
 public:
  Members(Rooms& rooms, Writer& writer, ProfileReader& profiles, store::Readers& readers, journal::Journal& journal)
      : rooms_(rooms), writer_(writer), profiles_(profiles), readers_(readers), journal_(journal) {}

  using Reason = std::optional<std::string>;

  /// May somebody come in by themselves? Guests only where guests may, into restricted rooms only
  /// with a member's word: their id is the answer, nothing where no word is needed.
  Task<Result<std::optional<std::string>>> admit(RoomPtr room, Actor who);
  /// Joining where one is already is no event and no error.
  /// `extra` goes into the member event's content, beside what the server itself writes there.
  Task<Result<>> join(RoomPtr room, Actor who, Reason reason, json::object extra = {});
  Task<Result<>> knock(RoomPtr room, Actor who, Reason reason);
  /// Also refuses an invitation and takes back a knock. Leaving what one has left is no error.
  Task<Result<>> leave(RoomPtr room, Actor who, Reason reason);
  Task<Result<>> invite(RoomPtr room, Actor who, std::string target, Reason reason);
  Task<Result<>> kick(RoomPtr room, Actor who, std::string target, Reason reason);
  Task<Result<>> ban(RoomPtr room, Actor who, std::string target, Reason reason);
  Task<Result<>> unban(RoomPtr room, Actor who, std::string target, Reason reason);
  /// Errc::Unknown while one is still in.
  Task<Result<>> forget(std::string room_id, std::string user);
  Task<Result<std::vector<std::string>>> joined_rooms(std::string user);

 private:
  /// As often as another node changes the room meanwhile.
  Task<Result<>> steadily(std::function<Task<Result<>>()> once);
  Task<Result<>> join_now(RoomPtr room, Actor who, Reason reason, json::object extra);
  Task<Result<>> knock_now(RoomPtr room, Actor who, Reason reason);
  Task<Result<>> leave_now(RoomPtr room, Actor who, Reason reason);
  Task<Result<>> invite_now(RoomPtr room, Actor who, std::string target, Reason reason);
  Task<Result<>> kick_now(RoomPtr room, Actor who, std::string target, Reason reason);
  Task<Result<>> ban_now(RoomPtr room, Actor who, std::string target, Reason reason);
  Task<Result<>> unban_now(RoomPtr room, Actor who, std::string target, Reason reason);
  Task<Result<>> move(RoomPtr room, Actor who, std::string target, json::object content);
  /// For restricted rooms: who can vouch for the user, when the user is in one of the rooms that count.
  Task<Result<std::string>> authorising_member(RoomPtr room, std::string user);
  /// Completes when everything in flight before it is durable.
  Task<Result<>> settled(RoomPtr room);

  Rooms& rooms_;
  Writer& writer_;
  ProfileReader& profiles_;
  store::Readers& readers_;
  journal::Journal& journal_;
};

}  // namespace haechi::messenger
