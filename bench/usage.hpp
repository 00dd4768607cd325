#pragma once
// CPU, memory and disk of the server (by process id), the generator and the
// whole machine, read from /proc. Two samples make a measured interval.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace haechi::bench {

struct WorkloadResult;

struct Usage {
  std::int64_t at_ns = 0;
  double server_cpu_s = 0;
  double generator_cpu_s = 0;
  double machine_busy_s = 0;
  double machine_steal_s = 0;
  double server_written_bytes = 0;

  static Usage sample(std::span<const int> server_pids);
};

struct Interval {
  double wall_s = 0, server_cpu_s = 0, generator_cpu_s = 0, other_cpu_s = 0, steal_s = 0, written_bytes = 0;
  bool has_server = false;

  Interval(const Usage& from, const Usage& to, bool server);
  /// Server CPU per operation, the generator's share and what voids the run.
  void report(WorkloadResult& result, const std::string& prefix, double operations, const std::string& operation) const;
};

/// Resident bytes of the processes.
double resident_bytes(std::span<const int> pids);
/// What the kernel holds in slabs and for sockets, for the whole machine: other work blurs it.
double kernel_bytes();

}  // namespace haechi::bench
