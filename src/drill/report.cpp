#include "drill/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "base/json.hpp"

namespace haechi::drill {

std::optional<OutageLimit> outage_limit(const RunPlan& plan) {
  const auto& f = plan.fault;
  if (f == "evacuate") return OutageLimit{1, 1};
  if (f == "slow" || f == "disk" || f == "none" || f == "double") return std::nullopt;
  if (plan.role != "primary") return OutageLimit{1, 1};
  if (f == "freeze" || f == "cut") return OutageLimit{4, 6};
  return OutageLimit{2, 3.5};
}

bool good(const RunRecord& run) {
  const auto limit = outage_limit(run.plan);
  return run.kept_promises() && (!limit || run.figures.write_outage_s <= limit->worst_s) &&
         run.figures.clients_moved_s <= kClientsMovedLimitS;
}

bool Group::good() const {
  return std::ranges::all_of(runs, [](const auto* r) { return drill::good(*r); }) &&
         (!limit || median_outage_s <= limit->median_s);
}

std::vector<Group> group(std::span<const RunRecord> runs) {
  std::vector<Group> out;
  for (const auto& r : runs) {
    auto at =
        std::ranges::find_if(out, [&](const Group& g) { return g.fault == r.plan.fault && g.role == r.plan.role; });
    if (at == out.end()) {
      out.push_back({.fault = r.plan.fault, .role = r.plan.role, .limit = outage_limit(r.plan)});
      at = std::prev(out.end());
    }
    at->runs.push_back(&r);
  }
  for (auto& g : out) {
    std::vector<double> outages;
    g.worst_whole_s = 0;
    for (const auto* r : g.runs) {
      outages.push_back(r->figures.write_outage_s);
      g.worst_moved_s = std::max(g.worst_moved_s, r->figures.clients_moved_s);
      if (!r->whole_again_s) g.worst_whole_s.reset();
      if (g.worst_whole_s) g.worst_whole_s = std::max(*g.worst_whole_s, *r->whole_again_s);
    }
    std::ranges::sort(outages);
    const auto n = outages.size();
    g.median_outage_s = n % 2 ? outages[n / 2] : (outages[n / 2 - 1] + outages[n / 2]) / 2;
    g.worst_outage_s = outages.back();
  }
  return out;
}

std::string seconds_text(double seconds) {
  if (!std::isfinite(seconds)) return "never";
  return seconds < 1    ? fmt::format("{:.2f}", seconds)
         : seconds < 20 ? fmt::format("{:.1f}", seconds)
                        : fmt::format("{:.0f}", seconds);
}

namespace {

/// JSON has no infinity: what never came is null.
json::value number(double value) {
  return std::isfinite(value) ? json::value(std::round(value * 1000) / 1000) : nullptr;
}

json::object run_json(const RunRecord& run) {
  const auto& f = run.figures;
  json::array by_site, broken;
  for (const auto s : f.write_outage_by_site_s) by_site.push_back(number(s));
  for (const auto& b : f.broken) broken.push_back(json::string(b));
  for (const auto& b : run.broken) broken.push_back(json::string(b));
  return {{"fault", run.plan.fault},
          {"site", run.plan.site},
          {"seed", run.plan.seed},
          {"acknowledged", f.acknowledged},
          {"lost", f.lost},
          {"twice", f.twice},
          {"out_of_order", f.out_of_order},
          {"unreadable", f.unreadable},
          {"client_errors", f.client_errors},
          {"write_outage_s", number(f.write_outage_s)},
          {"clients_moved_s", number(f.clients_moved_s)},
          {"whole_again_s", run.whole_again_s ? number(*run.whole_again_s) : nullptr},
          // What goes beyond the figures that are promised.
          {"run", run.plan.number},
          {"role", run.plan.role},
          {"detail", run.plan.detail},
          {"kept", run.kept_promises()},
          {"attempted", f.attempted},
          {"in_doubt", f.in_doubt},
          {"uploads", f.uploads},
          {"account_data_writes", f.writes},
          {"deliveries", f.deliveries},
          {"stale_reads", f.stale_reads},
          {"moves_from_silence", f.silences},
          {"rate_per_s", number(f.rate)},
          {"p50_ms", number(f.p50_ms)},
          {"p99_ms", number(f.p99_ms)},
          {"quiet_before_s", number(f.quiet_before_s)},
          {"write_outage_by_site_s", std::move(by_site)},
          {"clients_moved_from_fault_s", number(f.clients_moved_from_fault_s)},
          {"broken", std::move(broken)}};
}

Result<> write_file(const std::string& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.flush();
  if (!out) return fail(Errc::Io, path + ": cannot be written");
  return {};
}

}  // namespace

std::string render_json(std::span<const RunRecord> runs) {
  // One run a line: it can be read by people and by line-wise tools.
  std::string out = "{\"runs\":[";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    out += i ? ",\n  " : "\n  ";
    out += to_text(run_json(runs[i]));
  }
  out += "\n]}\n";
  return out;
}

std::string render_summary(std::span<const RunRecord> runs) {
  std::string out;
  const auto line = [&](auto&&... cells) {
    constexpr auto kRow = "{:>4}  {:<9} {:<10} {:>9} {:>5} {:>6} {:>6} {:>6} {:>7} {:>9} {:>8} {:>8}  {}";
    out += fmt::format(fmt::runtime(kRow), cells...);
    while (out.ends_with(' ')) out.pop_back();
    out += '\n';
  };
  line("run", "fault", "site", "acked", "lost", "twice", "order", "media", "errors", "no writes", "moved", "whole", "");
  for (const auto& r : runs) {
    const auto& f = r.figures;
    const auto seconds = [](double s) { return std::isfinite(s) ? seconds_text(s) + " s" : std::string("never"); };
    line(r.plan.number, r.plan.fault,
         r.plan.role.empty() ? r.plan.site : fmt::format("{} {}", r.plan.site, r.plan.role), f.acknowledged, f.lost,
         f.twice, f.out_of_order, f.unreadable, f.client_errors, seconds(f.write_outage_s), seconds(f.clients_moved_s),
         r.whole_again_s ? seconds(*r.whole_again_s) : "never",
         !r.kept_promises() ? "BROKEN"
         : good(r)          ? "ok"
                            : "slow");
    for (const auto& b : f.broken) out += fmt::format("      ! {}\n", b);
    for (const auto& b : r.broken) out += fmt::format("      ! {}\n", b);
  }
  const auto groups = group(runs);
  if (runs.size() > groups.size()) {
    out += '\n';
    for (const auto& g : groups) {
      out += fmt::format("{:<9} {:<8} {:>3} runs: without writes {} s in the middle, {} s at worst{}\n", g.fault,
                         g.role, g.runs.size(), seconds_text(g.median_outage_s), seconds_text(g.worst_outage_s),
                         g.limit ? fmt::format(" (limits {} and {})", g.limit->median_s, g.limit->worst_s) : "");
    }
  }
  return out;
}

void print_summary(std::span<const RunRecord> runs) {
  const auto text = render_summary(runs);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

Result<> write_json(const std::string& path, std::span<const RunRecord> runs) {
  return write_file(path, render_json(runs));
}

Result<> write_report(const std::string& path, const ReportHead& head, std::span<const RunRecord> runs) {
  return write_file(path, render_html(head, runs));
}

}  // namespace haechi::drill
