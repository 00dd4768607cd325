#pragma once
#include "bench/results.hpp"

namespace haechi::bench {
class Engine;
class Progress;
/// A bare Beast server on one thread, driven by this generator.
void measure_beast(WorkloadResult& result, Progress& progress, double seconds);
}  // namespace haechi::bench
