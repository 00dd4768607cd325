#include "drill/drill.hpp"

#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <cstdio>
#include <thread>

#include "base/random.hpp"
#include "base/text.hpp"
#include "drill/interrupt.hpp"
#include "drill/orchestrator.hpp"

namespace haechi::drill {
namespace {

std::string machine_text() {
  struct sysinfo memory{};
  utsname system{};
  sysinfo(&memory);
  uname(&system);
  return fmt::format("{} cores, {} GiB, {} {}", std::thread::hardware_concurrency(),
                     (memory.totalram * memory.mem_unit + (1ull << 29)) >> 30, system.sysname, system.release);
}

int complain(const Error& error) {
  if (error.is(Errc::Cancelled)) {
    fmt::print(stderr, "haechi: interrupted; the sites are taken down\n");
    return 130;
  }
  fmt::print(stderr, "haechi: {}\n", error.message);
  return 2;
}

Result<std::vector<Strike>> draw_all(const Options& options, const Abilities& abilities) {
  std::vector<Strike> strikes;
  for (int n = 1; n <= options.runs; ++n) {
    TRY(auto strike, draw(seed_of_run(options.seed, n), options.wishes, abilities));
    strikes.push_back(std::move(strike));
  }
  return strikes;
}

Result<> write_out(const Options& options, const ReportHead& head, std::span<const RunRecord> records) {
  if (!options.json.empty()) TRY_DO(write_json(options.json, records));
  if (!options.report.empty()) TRY_DO(write_report(options.report, head, records));
  return {};
}

}  // namespace

int run(const Options& given) {
  Options options = given;
  const std::string began = utc_now_text();
  auto standing = take_ground(options.loopback);
  if (!standing) return complain(standing.error());
  note_interrupts();
  SystemRandom random;
  if (options.seed == 0) options.seed = random.below(1'000'000'000) + 1;

  auto folder = DrillFolder::create(options.folder);
  if (!folder) return complain(folder.error());
  Orchestrator orchestrator(options, *standing, std::move(*folder));
  // Wrong wishes are refused before anything starts.
  const auto strikes = draw_all(options, orchestrator.abilities());
  if (!strikes) return complain(strikes.error());
  if (const auto up = orchestrator.bring_up(); !up) return complain(up.error());
  if (options.keep) {
    orchestrator.stay();
    return 0;
  }

  int code = 0;
  std::vector<RunRecord> records;
  if (const auto ready = orchestrator.prepare_load(); !ready) return complain(ready.error());
  for (int n = 1; n <= options.runs; ++n) {
    auto record = orchestrator.run(n, (*strikes)[static_cast<std::size_t>(n - 1)]);
    if (!record) {
      code = complain(record.error());
      break;
    }
    const bool whole = record->whole_again_s.has_value();
    records.push_back(std::move(*record));
    // Written after each run: whoever stops a long drill keeps what it found.
    if (const auto written = write_out(options, {began, machine_text(), orchestrator.ground_text()}, records);
        !written) {
      code = complain(written.error());
      break;
    }
    if (!whole) break;  // the next run would be judged on a broken cluster
  }
  if (!records.empty()) print_summary(records);
  const bool kept = std::ranges::all_of(records, &RunRecord::kept_promises);
  return code != 0 ? code : kept ? 0 : 1;
}

}  // namespace haechi::drill
