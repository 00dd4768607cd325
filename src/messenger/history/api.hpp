#pragma once
// Reading rooms: messages, context, events, state, members.

#include "messenger/api/gate.hpp"
#include "messenger/history/pages.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// Loop thread only; keeps nothing between requests.
class HistoryApi {
 public:
  HistoryApi(Gate& gate, Rooms& rooms, Users& users, Visibility& visibility, Relations& relations, const Clock& clock);
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  // messages.cpp
  Answer messages(net::Request& req, std::string room_id);
  Answer context(net::Request& req, std::string room_id, std::string event_id);
  Answer initial_sync(net::Request& req, std::string room_id);
  // events.cpp
  Answer event(net::Request& req, std::string room_id, std::string event_id);
  Answer event_anywhere(net::Request& req, std::string event_id);
  Answer timestamp_to_event(net::Request& req, std::string room_id);
  // state.cpp
  Answer state(net::Request& req, std::string room_id);
  Answer state_event(net::Request& req, std::string room_id, std::string type, std::string key);
  Answer members(net::Request& req, std::string room_id);
  Answer joined_members(net::Request& req, std::string room_id);

  Task<Result<SessionPtr>> session(net::Request& req);
  /// The member events of those who sent `events`, as they were after the newest of them.
  Task<Result<std::vector<EventPtr>>> senders(RoomPtr room, std::vector<EventPtr> events);
  /// Appends state, without bundles.
  void append_state(std::string& out, const Room& room, const std::vector<EventPtr>& events) const;

  Gate& gate_;
  Rooms& rooms_;
  Visibility& visibility_;
  RoomAccess access_;
  Pages pages_;
  const Clock& clock_;
};

}  // namespace haechi::messenger
