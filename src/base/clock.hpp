#pragma once
// Time comes in from outside: services ask a Clock, tests move a ManualClock.

#include <chrono>
#include <cstdint>

namespace haechi {

using Duration = std::chrono::nanoseconds;
/// Monotonic; only differences mean something.
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;
/// Milliseconds since 1970-01-01 UTC: Matrix's `origin_server_ts`.
using WallMs = std::int64_t;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  virtual WallMs wall_ms() const = 0;
};

class SystemClock final : public Clock {
 public:
  Instant now() const override { return std::chrono::steady_clock::now(); }
  WallMs wall_ms() const override {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  }
};

/// Stands still until told to move.
class ManualClock final : public Clock {
 public:
  Instant now() const override { return now_; }
  WallMs wall_ms() const override { return wall_ms_; }
  void advance(Duration d) {
    now_ += d;
    rest_ += d;
    const auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(rest_);
    wall_ms_ += whole.count();
    rest_ -= whole;
  }

 private:
  Instant now_{std::chrono::seconds(1000)};
  Duration rest_{};
  WallMs wall_ms_ = 1'700'000'000'000;
};

}  // namespace haechi
