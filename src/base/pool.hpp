#pragma once
// Blocking work (SQL reads, argon2, files, thumbnails) runs on a few threads so
// that the loop never stands still.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/loop.hpp"
#include "base/task.hpp"

namespace haechi {

/// Threads with one bounded queue. run() is called on the loop thread and
/// resumes there. Destruction finishes what is queued, then joins.
class BlockingPool {
 public:
  BlockingPool(Loop& loop, std::string name, std::size_t threads, std::size_t queue_max);
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  /// Runs `f` (which returns a Result) on a pool thread. Errc::Overloaded when
  /// the queue is full. A caller that goes away does not stop the work.
  /// An exception from `f` comes back as Errc::Io.
  template <class F>
  auto run(F f) -> Task<std::invoke_result_t<F&>> {
    using R = std::invoke_result_t<F&>;
    Promise<R> promise;
    auto future = promise.future();
    const bool queued = push([this, f = std::move(f), promise = std::move(promise)]() mutable {
      R result = guarded<R>(f);
      loop_.post(
          [promise = std::move(promise), result = std::move(result)]() mutable { promise.set(std::move(result)); });
    });
    if (!queued) co_return fail(Errc::Overloaded, name_ + ": too much work is waiting");
    co_return co_await future;
  }

  std::size_t queued() const;

 private:
  template <class R, class F>
  static R guarded(F& f) {
    try {
      return f();
    } catch (const std::exception& e) {
      return fail(Errc::Io, e.what());
    }
  }
  bool push(std::move_only_function<void()> job);
  void work();

  Loop& loop_;
  const std::string name_;
  const std::size_t queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable more_;
  std::deque<std::move_only_function<void()>> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace haechi
