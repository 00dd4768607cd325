#include "base/task.hpp"

#include <cassert>

#include "base/log.hpp"

namespace haechi {

// The only fire-and-forget coroutine of the house: it owns the task's frame and
// tells its scope when it ends.
struct Scope::Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
};

Scope::~Scope() { assert(running_ == 0 && "a scope is joined before it goes away"); }

Scope::Detached Scope::drive(Scope& scope, Task<void> task) {
  try {
    co_await std::move(task);
  } catch (const std::exception& e) {
    log::error("task ended by an exception", {{"what", e.what()}});
  }
  // The frame of the task may hold references to what the scope protects:
  // it goes first, then the scope hears of it.
  {
    Task<void> gone = std::move(task);
  }
  scope.ended();
}

void Scope::spawn(Task<void> task) {
  ++running_;
  drive(*this, std::move(task));
}

void Scope::ended() {
  if (--running_ != 0) return;
  for (auto h : std::exchange(joiners_, {})) h.resume();
}

Task<void> Scope::join() {
  struct Awaiter {
    Scope& scope;
    bool await_ready() const noexcept { return scope.running_ == 0; }
    void await_suspend(std::coroutine_handle<> h) const { scope.joiners_.push_back(h); }
    void await_resume() const noexcept {}
  };
  co_await Awaiter{*this};
}

}  // namespace haechi
