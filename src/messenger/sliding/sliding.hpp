#pragma once
// Simplified sliding sync: a client asks for windows over its rooms, ordered by
// their latest activity, and for what changed in them since its last answer.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4186

#include <memory>
#include <string>

#include "messenger/sliding/connection.hpp"
#include "messenger/sliding/request.hpp"
#include "messenger/sync/sync.hpp"

namespace haechi::messenger {

struct SlidingSyncRequest {
  SessionPtr session;
  sliding::Request body;
  std::string pos;  ///< empty: a new connection
  Duration timeout{};
  std::string set_presence;
};

/// Loop thread only. Connections live in memory: a client whose connection this
/// node does not know is told so (Errc::UnknownPos) and begins anew.
class SlidingSync {
 public:
  SlidingSync(Loop& loop, Rooms& rooms, Users& users, Visibility& visibility, journal::Journal& journal,
              SyncSources sources);

  /// The response body. Answers at once when there is anything, else when
  /// something comes or the timeout is over. `canceller` ends the wait early.
  Task<Result<std::string>> sync(SlidingSyncRequest request, Canceller* canceller);

  std::size_t connections() const { return connections_.size(); }

 private:
  struct Pass;
  Task<Result<bool>> build(Pass& pass);
  Task<Result<>> refresh_view(Pass& pass);
  Task<Result<>> rooms_section(Pass& pass);
  Task<Result<>> room_block(Pass& pass, RoomPtr room, const RoomRef ref, sliding::ConfigPtr config, bool touched);
  Task<Result<std::vector<EventPtr>>> required_state(Pass& pass, RoomPtr room, Position since, Position upto,
                                                     sliding::ConfigPtr config, sliding::SentPtr sent,
                                                     sliding::Sent& next, std::vector<EventPtr> timeline);
  Task<Result<>> extensions(Pass& pass);
  Task<Result<>> account_data(Pass& pass);
  void receipts_and_typing(Pass& pass);
  std::string answer(const Pass& pass, std::string_view pos) const;

  Loop& loop_;
  Rooms& rooms_;
  Users& users_;
  Visibility& visibility_;
  journal::Journal& journal_;
  SyncSources sources_;
  sliding::Connections connections_;
  sliding::BumpStamps bumps_;
};

}  // namespace haechi::messenger
