#pragma once
#include <list>
#include <string>

#include "base/loop.hpp"
#include "identity/accounts.hpp"
#include "messenger/room/writer.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

/// Takes deactivated users out of their rooms, one user after the other. The
/// account says until the end that this is to be done, so a crash loses nothing.
/// Lifecycle: construct, give hooks() to identity, resume() once the journal
/// runs, stop() before it stops. Loop thread only.
class Departures {
 public:
  Departures(Loop& loop, identity::Accounts& accounts, Users& users, Rooms& rooms, Writer& writer);

  identity::Hooks hooks();
  Task<void> resume();
  Task<void> stop();

 private:
  void enqueue(std::string user_id);
  Task<void> work();
  Task<Result<>> leave_all(std::string user_id);

  Loop& loop_;
  identity::Accounts& accounts_;
  Users& users_;
  Rooms& rooms_;
  Writer& writer_;
  std::list<std::string> waiting_;
  bool working_ = false;
  bool stopping_ = false;
  Waiter pause_;
  TimerQueue::Timer look_again_;
  Scope scope_;
};

}  // namespace haechi::messenger
