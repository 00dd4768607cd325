#pragma once
// When is a site dead? When neither its etcd nor its Patroni has answered for long
// enough, although both were asked again and again. No clock of its own, no network.

#include <array>
#include <cstddef>
#include <deque>

#include "base/clock.hpp"

namespace haechi::cluster {

enum class Part : std::uint8_t { Etcd, Patroni };

/// What can be said of one site at one moment.
struct Verdict {
  /// Since the last sign of life; zero unless both parts were asked since and neither answered.
  Duration silent{};
  /// Both refuse connections: their processes are gone, the machine is not cut off.
  bool refuses = false;
};

class Silence {
 public:
  explicit Silence(Instant now) : heard_(now) {}

  void asked(Part part, Instant when);
  /// An answer, whatever it says, to a question of any time.
  void heard(Part part, Instant when);
  void refused(Part part, Instant when);
  /// The leader key was renewed, or we ourselves stood still: what was counted means nothing.
  void forget(Instant now);

  /// Whether the costlier part has to be asked too.
  bool quiet(Instant now) const { return now - heard_ >= kQuiet || parts_[0].refusals > 0; }
  Verdict verdict(Instant now) const;

  static constexpr Duration kQuiet = std::chrono::milliseconds(150);
  /// A question so young may still be on its way.
  static constexpr Duration kPatience = std::chrono::milliseconds(120);
  static constexpr std::size_t kAskedMin = 2;

 private:
  struct Asked {
    std::deque<Instant> open;  ///< since the last sign of life
    std::size_t refusals = 0;  ///< in a row, to the newest questions
  };
  Instant heard_;
  std::array<Asked, 2> parts_;
};

}  // namespace haechi::cluster
