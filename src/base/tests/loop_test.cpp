#include "base/loop.hpp"

#include <doctest/doctest.h>

#include "base/pool.hpp"

using namespace haechi;
using namespace std::chrono_literals;

namespace {
struct Fixture {
  ManualClock clock;
  ManualLoop loop{clock};
};
Task<int> add(int a, int b) { co_return a + b; }
Task<int> add_twice(int a) { co_return co_await add(a, co_await add(a, 1)); }
Task<void> wait_into(Waiter& w, Instant deadline, Canceller* c, std::optional<Wake>& out) {
  out = co_await w.wait(deadline, c);
}
}  // namespace

TEST_CASE_FIXTURE(Fixture, "tasks chain and return values") { CHECK(loop.run(add_twice(3)) == 7); }

TEST_CASE_FIXTURE(Fixture, "a wait ends by signal, deadline or cancellation") {
  Scope scope;
  Waiter w(loop);
  std::optional<Wake> got;
  SUBCASE("signal") {
    scope.spawn(wait_into(w, loop.now() + 1s, nullptr, got));
    CHECK_FALSE(got);
    w.notify();
    loop.run_ready();
    CHECK(got == Wake::Signalled);
  }
  SUBCASE("deadline") {
    scope.spawn(wait_into(w, loop.now() + 1s, nullptr, got));
    loop.advance(999ms);
    CHECK_FALSE(got);
    loop.advance(1ms);
    CHECK(got == Wake::Deadline);
  }
  SUBCASE("cancel") {
    Canceller c;
    scope.spawn(wait_into(w, loop.now() + 1s, &c, got));
    c.cancel();
    loop.run_ready();
    CHECK(got == Wake::Cancelled);
  }
  SUBCASE("a signal before the wait is kept") {
    w.notify();
    scope.spawn(wait_into(w, loop.now() + 1s, nullptr, got));
    CHECK(got == Wake::Signalled);
  }
  CHECK(loop.timers().size() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a dropped promise answers with an error") {
  std::optional<Promise<Result<int>>> p(std::in_place);
  auto wait = [](auto future) -> Task<Result<int>> { co_return co_await future; };
  auto task = wait(p->future());
  p.reset();
  const auto got = loop.run(std::move(task));
  REQUIRE_FALSE(got);
  CHECK(got.error().is(Errc::Broken));
}

TEST_CASE_FIXTURE(Fixture, "a thousand timers fire in order") {
  std::vector<std::unique_ptr<TimerQueue::Timer>> timers;
  std::vector<int> fired;
  for (int i = 0; i < 1000; ++i) {
    timers.push_back(std::make_unique<TimerQueue::Timer>());
    const int at = (i * 7919) % 1000;
    loop.timers().arm(*timers.back(), loop.now() + at * 1ms, [&fired, at] { fired.push_back(at); });
  }
  for (int i = 0; i < 1000; i += 2) loop.timers().disarm(*timers[static_cast<std::size_t>(i)]);
  loop.advance(2s);
  CHECK(fired.size() == 500);
  CHECK(std::ranges::is_sorted(fired));
}

TEST_CASE_FIXTURE(Fixture, "the blocking pool answers on the loop and turns exceptions into errors") {
  BlockingPool pool(loop, "test", 2, 4);
  CHECK(loop.run(pool.run([]() -> Result<int> { return 41 + 1; })).value() == 42);
  const auto bad = loop.run(pool.run([]() -> Result<int> { throw std::runtime_error("disk"); }));
  CHECK(bad.error().is(Errc::Io));
}
