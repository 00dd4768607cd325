#include <fmt/format.h>

#include "bench/workloads.hpp"

namespace haechi::bench {

Window::Window(Context& context, double warmup_s, double duration_s)
    : begin(now_ns() + static_cast<std::int64_t>(warmup_s * 1e9)),
      end(begin + static_cast<std::int64_t>(duration_s * 1e9)),
      context_(context) {}

Interval Window::run(const std::function<std::string()>& status, const std::function<bool()>& idle) {
  const auto pids = std::span<const int>(context_.options.server_pids);
  auto& engine = context_.engine;
  engine.on_second = [&](std::int64_t now) {
    const auto second = static_cast<double>(now - begin) / 1e9;
    context_.progress.update(fmt::format("  {} {:.0f}/{:.0f} s: {}", now < begin ? "warm-up" : "running", second,
                                         static_cast<double>(end - begin) / 1e9, status()));
  };
  engine.run_until(begin);
  const auto from = Usage::sample(pids);
  engine.run_until(end);
  const auto to = Usage::sample(pids);
  engine.stop_pace();
  engine.run_until(now_ns() + 5 * kSecond, idle);
  engine.on_second = {};
  return {from, to, !pids.empty()};
}

}  // namespace haechi::bench
