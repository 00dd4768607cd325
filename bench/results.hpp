#pragma once
// What a run found: figures that say what they measured, the distributions
// behind them, and the conditions under which they count.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/histogram.hpp"

namespace haechi::bench {

struct Distribution {
  std::uint64_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0;  ///< milliseconds
};

struct Figure {
  std::string key;  ///< unique over all workloads: "send.acked"
  double value = 0;
  std::string unit;
  std::string what;
  std::optional<Distribution> distribution;
};

struct WorkloadResult {
  std::string name;
  std::string shape;  ///< what was done, in one sentence
  std::vector<std::pair<std::string, std::string>> parameters;
  std::vector<Figure> figures;
  std::vector<std::string> notes;
  std::string error;  ///< why it could not be measured; empty otherwise

  void add(std::string key, double value, std::string unit, std::string what);
  /// The figure's value is the 99th percentile in milliseconds.
  void add(std::string key, const Histogram& latencies, std::string what);
  void note(std::string text) { notes.push_back(std::move(text)); }
};

struct Machine {
  std::string cpu, kernel, compiler, build;
  unsigned cores = 0;
  double memory_gib = 0;
  std::string date;
};

struct Results {
  Machine machine;
  std::string server, commit;
  bool quick = false;
  /// The workloads had the shapes that the targets name, so met or not met can be said.
  bool judged = true;
  std::vector<WorkloadResult> workloads;

  const Figure* find(std::string_view key) const;
};

Machine this_machine();

}  // namespace haechi::bench
