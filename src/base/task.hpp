#pragma once
// Coroutines of the house. A Task starts when it is awaited and resumes its
// awaiter directly (symmetric transfer). Tasks belong to one loop thread; none
// of these types may be touched from another thread: use Executor::post to come
// back to the loop.
//
// Parameters of coroutines go by value, or by reference to what surely outlives
// the call. A capturing lambda is never itself a coroutine that outlives its
// full expression.

#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace haechi {

template <class T = void>
class Task;

namespace detail {

struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <class P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) const noexcept {
    auto next = h.promise().continuation;
    return next ? next : std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

struct TaskPromiseBase {
  std::coroutine_handle<> continuation;
  std::exception_ptr exception;
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { exception = std::current_exception(); }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  void return_value(T v) { value.emplace(std::move(v)); }
  T take() {
    if (exception) std::rethrow_exception(exception);
    return *std::move(value);
  }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const {
    if (exception) std::rethrow_exception(exception);
  }
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> handle;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) const noexcept {
        handle.promise().continuation = caller;
        return handle;
      }
      T await_resume() const { return handle.promise().take(); }
    };
    return Awaiter{handle_};
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}
  std::coroutine_handle<promise_type> handle_;
};

namespace detail {
template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}
}  // namespace detail

/// Owns running tasks: nothing is spawned outside a scope, and a scope is joined
/// before what its tasks use goes away. One loop thread only.
class Scope {
 public:
  Scope() = default;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  /// Asserts that nothing runs any more: join first.
  ~Scope();

  /// Starts the task at once, on the caller's stack, until its first wait.
  /// An exception that leaves the task is logged and counted, and ends only it.
  void spawn(Task<void> task);

  /// Completes when every spawned task has ended.
  Task<void> join();

  std::size_t running() const { return running_; }

 private:
  struct Detached;
  friend struct Detached;
  static Detached drive(Scope& scope, Task<void> task);
  void ended();
  std::size_t running_ = 0;
  std::vector<std::coroutine_handle<>> joiners_;
};

namespace detail {
template <class T>
struct Broken {
  static T value() { return T{}; }
};
template <class T>
struct Broken<std::expected<T, Error>> {
  static std::expected<T, Error> value() {
    return std::unexpected<Error>(Error(Errc::Broken, "the work was dropped without an answer"));
  }
};

template <class T>
struct OneShotState {
  std::optional<T> value;
  std::coroutine_handle<> waiter;
  void set(T v) {
    if (value) return;
    value.emplace(std::move(v));
    if (waiter) std::exchange(waiter, {}).resume();
  }
};
}  // namespace detail

/// The writing end of a value that one coroutine waits for. Setting resumes the
/// waiter on the caller's stack. A promise dropped unanswered answers with
/// Errc::Broken where T is a Result (a default T otherwise). Loop thread only.
template <class T>
class Promise {
 public:
  Promise() : state_(std::make_shared<detail::OneShotState<T>>()) {}
  Promise(Promise&&) noexcept = default;
  Promise& operator=(Promise&& other) noexcept {
    drop();
    state_ = std::move(other.state_);
    return *this;
  }
  ~Promise() { drop(); }

  void set(T value) {
    if (auto s = std::exchange(state_, nullptr)) s->set(std::move(value));
  }

  /// Must be awaited at most once, and outlive neither loop nor awaiter.
  auto future() const {
    struct Future {
      std::shared_ptr<detail::OneShotState<T>> state;
      bool await_ready() const noexcept { return state->value.has_value(); }
      void await_suspend(std::coroutine_handle<> h) const noexcept { state->waiter = h; }
      T await_resume() const { return *std::move(state->value); }
    };
    return Future{state_};
  }

 private:
  void drop() {
    if (auto s = std::exchange(state_, nullptr)) s->set(detail::Broken<T>::value());
  }
  std::shared_ptr<detail::OneShotState<T>> state_;
};

}  // namespace haechi
