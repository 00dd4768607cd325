#include "bench/usage.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "bench/engine.hpp"
#include "bench/results.hpp"

namespace haechi::bench {
namespace {

double ticks() { return static_cast<double>(::sysconf(_SC_CLK_TCK)); }

/// User and system time with the 10 ms steps of /proc/PID/stat.
double stat_cpu(const std::string& proc) {
  std::ifstream in(proc + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto paren = text.rfind(')');
  if (paren == std::string::npos) return 0;
  std::istringstream fields(text.substr(paren + 2));
  std::string skip;
  for (int i = 0; i < 11; ++i) fields >> skip;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / ticks();
}

/// Nanosecond sums of the living threads, where the kernel keeps them.
double schedstat_cpu(const std::string& proc) {
  double ns = 0;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(proc + "/task", error)) {
    std::ifstream in(task.path() / "schedstat");
    double run = 0;
    in >> run;
    ns += run;
  }
  return ns / 1e9;
}

double field_of(const std::string& file, std::string_view name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(name)) return std::strtod(line.c_str() + name.size(), nullptr);
  }
  return 0;
}

}  // namespace

Usage Usage::sample(std::span<const int> server_pids) {
  Usage u;
  u.at_ns = now_ns();
  for (const int pid : server_pids) {
    const auto proc = "/proc/" + std::to_string(pid);
    const double fine = schedstat_cpu(proc);
    u.server_cpu_s += fine > 0 ? fine : stat_cpu(proc);
    u.server_written_bytes += field_of(proc + "/io", "write_bytes:");
  }
  rusage self{};
  ::getrusage(RUSAGE_SELF, &self);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  u.generator_cpu_s = seconds(self.ru_utime) + seconds(self.ru_stime);
  std::ifstream stat("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
  stat >> cpu >> user >> nice >> system >> idle >> wait >> irq >> soft >> steal;
  u.machine_busy_s = (user + nice + system + irq + soft) / ticks();
  u.machine_steal_s = steal / ticks();
  return u;
}

Interval::Interval(const Usage& from, const Usage& to, bool server)
    : wall_s(static_cast<double>(to.at_ns - from.at_ns) / 1e9),
      server_cpu_s(to.server_cpu_s - from.server_cpu_s),
      generator_cpu_s(to.generator_cpu_s - from.generator_cpu_s),
      other_cpu_s(to.machine_busy_s - from.machine_busy_s - server_cpu_s - generator_cpu_s),
      steal_s(to.machine_steal_s - from.machine_steal_s),
      written_bytes(to.server_written_bytes - from.server_written_bytes),
      has_server(server) {}

void Interval::report(WorkloadResult& result, const std::string& prefix, double operations,
                      const std::string& operation) const {
  if (operations <= 0 || wall_s <= 0) return;
  if (has_server) {
    result.add(prefix + ".server_cpu", server_cpu_s * 1e6 / operations, "us/" + operation,
               fmt::format("server CPU per {}, all threads, user and system ({:.3f} CPU s per 1,000)", operation,
                           server_cpu_s * 1000 / operations));
    result.add(prefix + ".server_share", server_cpu_s / wall_s, "cores", "cores that the server kept busy");
    if (written_bytes > 0) {
      result.add(prefix + ".written", written_bytes / operations, "B/" + operation,
                 "bytes that the server made the disk write");
    }
  }
  result.add(prefix + ".generator_cpu", generator_cpu_s * 1e6 / operations, "us/" + operation,
             "the generator's own CPU");
  const double cores = std::max(1U, std::thread::hardware_concurrency());
  if (generator_cpu_s > 0.85 * wall_s) {
    result.note(
        fmt::format("{}: the generator used {:.0f} % of its core: the figure may be its limit, not the server's",
                    prefix, 100 * generator_cpu_s / wall_s));
  }
  if (has_server && other_cpu_s > 0.05 * wall_s * cores) {
    result.note(fmt::format("{}: other work took {:.0f} % of the machine during the run", prefix,
                            100 * other_cpu_s / wall_s / cores));
  }
  if (steal_s > 0.01 * wall_s * cores) {
    result.note(
        fmt::format("{}: the hypervisor withheld {:.1f} % of the CPU time", prefix, 100 * steal_s / wall_s / cores));
  }
}

double resident_bytes(std::span<const int> pids) {
  double sum = 0;
  for (const int pid : pids) sum += field_of("/proc/" + std::to_string(pid) + "/status", "VmRSS:") * 1024;
  return sum;
}

double kernel_bytes() {
  double sockets = 0;
  std::ifstream in("/proc/net/sockstat");
  for (std::string line; std::getline(in, line);) {
    // "TCP: inuse 8 orphan 0 tw 0 alloc 9 mem 3": mem is buffer pages.
    if (const auto mem = line.find(" mem "); line.starts_with("TCP:") && mem != std::string::npos) {
      sockets = std::strtod(line.c_str() + mem + 5, nullptr) * static_cast<double>(::sysconf(_SC_PAGESIZE));
    }
  }
  return field_of("/proc/meminfo", "Slab:") * 1024 + sockets;
}

}  // namespace haechi::bench
