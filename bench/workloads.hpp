#pragma once

#include "bench/matrix.hpp"
#include "bench/results.hpp"

namespace haechi::bench {

/// Each prepares what it needs, runs for the options' durations and adds figures as it gets them.
/// They throw std::runtime_error when the server refuses what they need.
void run_send(Context& context, WorkloadResult& result);
void run_chat(Context& context, WorkloadResult& result);
void run_group(Context& context, WorkloadResult& result);
void run_open(Context& context, WorkloadResult& result);
void run_initial_sync(Context& context, WorkloadResult& result);
void run_idle(Context& context, WorkloadResult& result);
void run_media(Context& context, WorkloadResult& result);

/// The limits beside the figures, measured on the same machine in the same run.
WorkloadResult run_ceilings(const Options& options, Progress& progress);

/// Counts and times what happens between two moments; what lies outside is warm-up and drain.
class Window {
 public:
  Window(Context& context, double warmup_s, double duration_s);
  bool contains(std::int64_t t) const { return t >= begin && t < end; }
  /// Runs the engine over warm-up and window, then up to five more seconds until `idle`.
  Interval run(const std::function<std::string()>& status, const std::function<bool()>& idle);

  std::int64_t begin, end;

 private:
  Context& context_;
};

}  // namespace haechi::bench
