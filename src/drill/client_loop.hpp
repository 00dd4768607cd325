#pragma once
// The loop that the load's clients live on: one thread, one epoll. Of its own because the
// sockets must be made in the clients' network, and because the judge's clients should
// share as little as possible with the servers that they judge.

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "base/loop.hpp"
#include "drill/fd.hpp"

namespace haechi::drill {

/// Told of readiness, edge-triggered.
class Watched {
 public:
  virtual void on_ready(std::uint32_t events) = 0;

 protected:
  ~Watched() = default;
};

class ClientLoop final : public Loop {
 public:
  explicit ClientLoop(const Clock& clock);

  void post(std::move_only_function<void()> f) override;
  void defer(std::coroutine_handle<> h) override { deferred_.push_back(h); }
  TimerQueue& timers() override { return timers_; }
  const Clock& clock() const override { return clock_; }

  /// Runs on the calling thread until stop(), which any thread may call.
  void run();
  void stop();

  /// Until unwatch(), or until the descriptor is closed. False when the kernel refuses.
  bool watch(int fd, Watched& watched);
  void unwatch(int fd, Watched& watched);
  /// For all sockets to read into; what it holds is used before the next read.
  std::vector<char>& scratch() { return scratch_; }

 private:
  void run_queued();

  const Clock& clock_;
  TimerQueue timers_;
  Fd epoll_, wake_;
  std::vector<std::coroutine_handle<>> deferred_, resuming_;
  std::vector<Watched*> ready_;  ///< of this turn; who goes away is taken out
  std::vector<char> scratch_ = std::vector<char>(256 * 1024);
  std::mutex mutex_;
  std::vector<std::move_only_function<void()>> posted_;  ///< guarded by mutex_
  std::atomic<bool> stop_{false};
};

}  // namespace haechi::drill
