#pragma once
// A user's push rules as they are stored and changed; what they mean is push/'s.

#include <functional>
#include <string>

#include "journal/journal.hpp"
#include "messenger/push/unread.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

/// Loop thread only.
class PushRules {
 public:
  PushRules(journal::Journal& journal, Users& users, UnreadCounter& unread)
      : journal_(journal), users_(users), unread_(unread) {}

  /// Follows the feed, before Users does.
  void start();

  /// Runs inside the transaction on what is stored then, so that two clients do
  /// not undo each other; may run twice.
  using Edit = std::function<Result<>(push::Ruleset&)>;
  Task<Result<>> edit(std::string user, Edit change);

  /// The user's rules as they are now; they hold as long as the pointer does and until the next change.
  Task<Result<UserPtr>> of(std::string user) { return users_.get(std::move(user)); }

 private:
  journal::Journal& journal_;
  Users& users_;
  UnreadCounter& unread_;
};

}  // namespace haechi::messenger
