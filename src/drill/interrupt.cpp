#include "drill/interrupt.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace haechi::drill {
namespace {

std::atomic<int> interrupts{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int) {
  if (interrupts.fetch_add(1) > 0) _exit(130);
}

}  // namespace

void note_interrupts() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaction(s, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool interrupted() { return interrupts.load() > 0; }

Result<> pause_for(std::chrono::milliseconds time) {
  const auto due = std::chrono::steady_clock::now() + time;
  while (!interrupted()) {
    const auto left = due - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0)) return {};
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(left, std::chrono::milliseconds(20)));
  }
  return fail(Errc::Cancelled, "interrupted");
}

}  // namespace haechi::drill
