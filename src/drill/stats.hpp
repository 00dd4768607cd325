#pragma once
// Rates and latencies out of a history.

#include <span>
#include <vector>

#include "drill/history.hpp"

namespace haechi::drill {

/// The value that a share `q` of `sorted` does not exceed; 0 when empty.
double quantile(std::span<const double> sorted, double q);

struct Latency {
  std::size_t count = 0;
  double p50_ms = 0, p99_ms = 0, max_ms = 0;
};
/// Of messages acknowledged in [from, until), from the time each was due.
Latency latency(const History& history, Nanos from, Nanos until);

/// Acknowledged messages, troubles shown by surviving sites, and latencies, cut into slices of the load's time.
std::vector<Figures::Slice> slices(const History& history, Nanos length);

/// Acknowledged messages a second in [from, until).
double rate(const History& history, Nanos from, Nanos until);

}  // namespace haechi::drill
