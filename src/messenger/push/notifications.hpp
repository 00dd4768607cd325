#pragma once
// GET /notifications: computed when asked, by judging recent events anew.

#include "messenger/push/unread.hpp"
#include "messenger/room/visibility.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

/// Loop thread only.
class Notifications {
 public:
  Notifications(Rooms& rooms, Users& users, UnreadCounter& unread, Visibility& visibility)
      : rooms_(rooms), users_(users), unread_(unread), visibility_(visibility) {}

  struct Query {
    std::string user;
    std::string device;           ///< "user|device"
    Position before = INT64_MAX;  ///< events older than this
    std::size_t limit = 20;
    bool highlights_only = false;
    WallMs now = 0;
  };
  /// The response body.
  Task<Result<std::string>> list(Query query);

 private:
  struct Source;
  Task<Result<>> fill(Source& source);
  Rooms& rooms_;
  Users& users_;
  UnreadCounter& unread_;
  Visibility& visibility_;
};

}  // namespace haechi::messenger
