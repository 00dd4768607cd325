#pragma once
// What a packet meets on its way from one network to another: nothing, a cut, or
// a delay and a narrow pipe. Pure: time comes in, so that it is tested without a network.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "drill/run.hpp"

namespace haechi::drill {

/// One direction between two networks. Set from any thread; `admit` belongs to the router's.
class Wire {
 public:
  struct State {
    bool cut = false;
    Nanos delay = 0;
    std::int64_t bytes_per_second = 0;  ///< 0: as fast as the machine

    friend bool operator==(const State&, const State&) = default;
  };

  /// A full buffer of a router: what would wait longer than this for a narrow pipe is dropped.
  static constexpr Nanos kQueueMax = 500 * kMillisecond;

  void set(const State& state) {
    cut_.store(state.cut, std::memory_order_relaxed);
    delay_.store(state.delay, std::memory_order_relaxed);
    bytes_per_second_.store(state.bytes_per_second, std::memory_order_relaxed);
  }
  State state() const {
    return {cut_.load(std::memory_order_relaxed), delay_.load(std::memory_order_relaxed),
            bytes_per_second_.load(std::memory_order_relaxed)};
  }

  /// When a packet that arrives at `now` leaves at the other end; nothing: it is dropped.
  /// `now` itself: there is nothing in its way. Packets never overtake each other.
  std::optional<Nanos> admit(Nanos now, std::size_t bytes);

 private:
  std::atomic<bool> cut_{false};
  std::atomic<Nanos> delay_{0};
  std::atomic<std::int64_t> bytes_per_second_{0};
  Nanos free_at_ = 0;  ///< the pipe is busy until then
  Nanos last_ = 0;     ///< when the packet before leaves
};

}  // namespace haechi::drill
