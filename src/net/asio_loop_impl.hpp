#pragma once
// Private to net/: what stands behind AsioLoop.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <coroutine>
#include <list>
#include <vector>

#include "net/server.hpp"

namespace haechi::net {

namespace asio = boost::asio;

struct AsioLoop::Impl {
  explicit Impl(const Clock& c);

  void arm_wakeup();
  void resume_deferred();

  const Clock& clock;
  // Before the context: handlers that die with it hold timers of this queue.
  TimerQueue timers;
  std::vector<std::coroutine_handle<>> deferred;
  std::size_t resumed = 0;  ///< of `deferred`: these have had their turn
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  asio::steady_timer wakeup{context};
  std::list<asio::signal_set> signals;
};

}  // namespace haechi::net
