#pragma once
// The one thread that owns a node's state, as the services see it: a queue of
// functions, a heap of timers, and waits that end by a signal, a deadline or
// the caller going away. net/ drives it with Asio; tests drive it by hand.

#include <coroutine>
#include <functional>
#include <vector>

#include "base/clock.hpp"
#include "base/task.hpp"

namespace haechi {

/// Armed timers sit in a heap of pointers; arming and disarming cost O(log n)
/// and no allocation, so a hundred thousand long polls may each hold one.
class TimerQueue {
 public:
  class Timer {
   public:
    Timer() = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() {
      if (queue_) queue_->disarm(*this);
    }
    bool armed() const { return queue_ != nullptr; }

   private:
    friend class TimerQueue;
    TimerQueue* queue_ = nullptr;
    std::size_t slot_ = 0;
    Instant due_{};
    std::move_only_function<void()> fire_;
  };

  /// Arms (or moves) the timer. `fire` runs on the loop thread, never inside this call.
  void arm(Timer& timer, Instant due, std::move_only_function<void()> fire);
  void disarm(Timer& timer);
  /// Fires all that is due, in order of time.
  void fire_due(Instant now);
  /// Instant::max() when nothing is armed.
  Instant next_due() const { return heap_.empty() ? Instant::max() : heap_.front()->due_; }
  std::size_t size() const { return heap_.size(); }
  /// Called when the earliest deadline became earlier, so that the driver wakes in time.
  std::function<void()> on_earlier;

 private:
  void place(std::size_t slot, Timer* timer);
  void sift_up(std::size_t slot);
  void sift_down(std::size_t slot);
  std::vector<Timer*> heap_;
};

class Loop {
 public:
  virtual ~Loop() = default;
  /// Runs `f` on the loop thread, later. The only member that any thread may call.
  virtual void post(std::move_only_function<void()> f) = 0;
  /// Resumes `h` after the current function has returned to the loop. Loop thread only.
  virtual void defer(std::coroutine_handle<> h) = 0;
  virtual TimerQueue& timers() = 0;
  virtual const Clock& clock() const = 0;

  Instant now() const { return clock().now(); }

  /// `co_await loop.sleep(d)`.
  Task<void> sleep(Duration d);
};

/// Told by a connection that its client has gone; long waits listen to it.
/// Loop thread only.
class Canceller {
 public:
  Canceller() = default;
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;
  void cancel() {
    if (cancelled_) return;
    cancelled_ = true;
    for (auto* l = listener_; l; l = l->next) l->call(l->self);
  }
  bool cancelled() const { return cancelled_; }

 private:
  friend class Waiter;
  struct Listener {
    Listener* next = nullptr;
    void* self = nullptr;
    void (*call)(void*) = nullptr;
  };
  void add(Listener& l) {
    l.next = listener_;
    listener_ = &l;
  }
  void remove(Listener& l) {
    for (auto** at = &listener_; *at; at = &(*at)->next) {
      if (*at == &l) {
        *at = l.next;
        return;
      }
    }
  }
  bool cancelled_ = false;
  Listener* listener_ = nullptr;
};

enum class Wake { Signalled, Deadline, Cancelled };

/// One coroutine waits, anything on the loop notifies. A notification that comes
/// before the wait is kept. The waiter resumes from the loop, not on the
/// notifier's stack, so a notifier may walk its list of waiters undisturbed.
class Waiter {
 public:
  explicit Waiter(Loop& loop) : loop_(&loop) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  void notify() { finish(Wake::Signalled); }
  /// Forgets a kept notification.
  void reset() {
    if (!handle_) why_.reset();
  }

  /// Waits until notified, until `deadline`, or until `canceller` (may be null) fires.
  auto wait(Instant deadline, Canceller* canceller = nullptr) {
    struct Awaiter {
      Waiter& w;
      Instant deadline;
      Canceller* canceller;
      Canceller::Listener listener{};
      bool await_ready() const noexcept { return w.why_.has_value(); }
      void await_suspend(std::coroutine_handle<> h) {
        w.handle_ = h;
        if (canceller) {
          if (canceller->cancelled()) return w.finish(Wake::Cancelled);
          listener.self = &w;
          listener.call = [](void* self) { static_cast<Waiter*>(self)->finish(Wake::Cancelled); };
          canceller->add(listener);
        }
        if (deadline != Instant::max()) {
          w.loop_->timers().arm(w.timer_, deadline, [this] { w.finish(Wake::Deadline); });
        }
      }
      Wake await_resume() {
        if (canceller && listener.self) canceller->remove(listener);
        const Wake why = w.why_.value_or(Wake::Signalled);
        w.why_.reset();
        return why;
      }
    };
    return Awaiter{*this, deadline, canceller};
  }

 private:
  void finish(Wake why) {
    if (why_) return;
    why_ = why;
    if (timer_.armed()) loop_->timers().disarm(timer_);
    if (handle_) loop_->defer(std::exchange(handle_, {}));
  }
  Loop* loop_;
  std::coroutine_handle<> handle_;
  std::optional<Wake> why_;
  TimerQueue::Timer timer_;
};

/// A loop for tests and simulations: nothing happens until told to, and time is
/// whatever the test says. post() is thread-safe so that real commit threads
/// and pools can be tested with it too.
class ManualLoop final : public Loop {
 public:
  explicit ManualLoop(ManualClock& clock);
  ~ManualLoop() override;
  void post(std::move_only_function<void()> f) override;
  void defer(std::coroutine_handle<> h) override;
  TimerQueue& timers() override { return timers_; }
  const Clock& clock() const override { return clock_; }

  /// Runs what is queued and due until nothing is left to do now.
  void run_ready();
  /// Moves the clock from deadline to deadline up to `d` ahead, running what falls due.
  void advance(Duration d);
  /// Runs a task to its end and returns its value. Waits (really) for other
  /// threads' posts for at most ten seconds, then throws: a hung test is a failed one.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    Scope scope;
    scope.spawn(store_into(std::move(task), out));
    run_until([&] { return scope.running() == 0; });
    return *std::move(out);
  }
  void run(Task<void> task) {
    Scope scope;
    scope.spawn(std::move(task));
    run_until([&] { return scope.running() == 0; });
  }
  void run_until(const std::function<bool()>& done);

 private:
  template <class T>
  static Task<void> store_into(Task<T> task, std::optional<T>& out) {
    out.emplace(co_await std::move(task));
  }
  struct Queue;
  ManualClock& clock_;
  TimerQueue timers_;
  std::unique_ptr<Queue> queue_;
  std::vector<std::coroutine_handle<>> deferred_;
};

}  // namespace haechi
