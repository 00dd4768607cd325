#include "bench/results.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <thread>

namespace haechi::bench {

void WorkloadResult::add(std::string key, double value, std::string unit, std::string what) {
  figures.push_back({std::move(key), value, std::move(unit), std::move(what), std::nullopt});
}

void WorkloadResult::add(std::string key, const Histogram& latencies, std::string what) {
  const auto ms = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e6; };
  Distribution d{latencies.count(),           latencies.mean() / 1e6,       ms(latencies.quantile(0.5)),
                 ms(latencies.quantile(0.9)), ms(latencies.quantile(0.99)), ms(latencies.quantile(0.999)),
                 ms(latencies.max())};
  figures.push_back({std::move(key), d.p99, "ms p99", std::move(what), d});
}

const Figure* Results::find(std::string_view key) const {
  for (const auto& w : workloads) {
    for (const auto& f : w.figures) {
      if (f.key == key) return &f;
    }
  }
  return nullptr;
}

Machine this_machine() {
  Machine m;
  std::ifstream cpus("/proc/cpuinfo");
  for (std::string line; std::getline(cpus, line);) {
    if (line.starts_with("model name")) {
      m.cpu = line.substr(line.find(':') + 2);
      break;
    }
  }
  utsname names{};
  ::uname(&names);
  m.kernel = std::string(names.sysname) + " " + names.release;
  m.cores = std::thread::hardware_concurrency();
  m.memory_gib = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE)) /
                 (1024.0 * 1024 * 1024);
  m.compiler = __VERSION__;
#ifdef __OPTIMIZE__
  m.build = "optimised";
#else
  m.build = "not optimised: the generator itself is slow";
#endif
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  if (std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc) > 0) m.date = text;
  return m;
}

}  // namespace haechi::bench
