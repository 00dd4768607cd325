#include "bench/report.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cmath>
#include <span>

namespace haechi::bench {
namespace {

namespace json = boost::json;

struct Target {
  std::string_view key;
  enum class Bound { AtLeast, AtMost } bound;
  double value;
  std::string_view text;
  std::string_view ceiling = {};  ///< the figure that limits this one
};
using enum Target::Bound;

/// What the project promises on a 2-core machine that also runs the generator.
constexpr Target kTargets[]{
    {"send.acked", AtLeast, 20'000, "acknowledged, durable sends/s (64 senders, 100 rooms, closed loop)",
     "ceiling.sqlite_32"},
    {"chat.closed.delivered", AtLeast, 15'000, "messages/s delivered to waiting syncs", "ceiling.sqlite_32"},
    {"send.server_cpu", AtMost, 50, "us of server CPU per acknowledged message"},
    {"chat.open.ack_latency", AtMost, 6, "ms p99 to acknowledgement at 5,000/s, open loop",
     "ceiling.fdatasync_latency"},
    {"chat.open.delivery_latency", AtMost, 8, "ms p99 to delivery at 5,000/s, open loop", "ceiling.fdatasync_latency"},
    {"open.open.delivery_latency", AtMost, 100, "ms p99 for a message to reach 3,000 waiting syncs"},
    {"idle.gib_100k", AtMost, 1.5, "GiB for 100,000 idle long polls (projected)"},
    {"incremental_sync.server_cpu", AtMost, 100, "us of CPU for an incremental sync of one event"},
    {"initial_sync.median", AtMost, 150, "ms for a first sync of 500 rooms"},
    {"media.100kB.up.ratio", AtLeast, 60, "% of nginx, 100 kB up"},
    {"media.100kB.down.ratio", AtLeast, 60, "% of nginx, 100 kB down"},
    {"media.5MB.up.ratio", AtLeast, 60, "% of nginx, 5 MB up"},
    {"media.5MB.down.ratio", AtLeast, 60, "% of nginx, 5 MB down"},
};

std::string number(double v) {
  const double size = std::abs(v);
  if (size >= 1000) return fmt::format("{:.0f}", v);
  if (size >= 100) return fmt::format("{:.4g}", v);
  return fmt::format("{:.3g}", v);
}

std::string ms(double v) {
  return v >= 100 ? fmt::format("{:.0f}", v) : v >= 10 ? fmt::format("{:.1f}", v) : fmt::format("{:.2f}", v);
}

bool met(const Target& t, double value) { return t.bound == AtLeast ? value >= t.value : value <= t.value; }

std::string_view verdict(const Results& results, const Target& t, const Figure* f) {
  if (!f) return "not measured";
  if (!results.judged) return "not judged: another shape";
  return met(t, f->value) ? "met" : "**not met**";
}

std::string parameters(const WorkloadResult& w) {
  std::string out;
  for (const auto& [name, value] : w.parameters) out += fmt::format("{}{}={}", out.empty() ? "" : ", ", name, value);
  return out;
}

}  // namespace

std::string render_table(const Results& results) {
  std::string out;
  for (const auto& w : results.workloads) {
    out += fmt::format("\n{}: {}\n", w.name, w.shape);
    if (!w.error.empty()) out += fmt::format("  BROKEN OFF: {}\n", w.error);
    if (w.figures.empty()) continue;
    out += fmt::format("  {:<34}{:>12} {:<14}{:>9}{:>9}{:>9}{:>10}\n", "figure", "value", "unit", "p50 ms", "p99",
                       "p99.9", "max");
    for (const auto& f : w.figures) {
      out += fmt::format("  {:<34}{:>12} {:<14}", f.key, number(f.value), f.unit);
      if (f.distribution) {
        const auto& d = *f.distribution;
        out += fmt::format("{:>9}{:>9}{:>9}{:>10}", ms(d.p50), ms(d.p99), ms(d.p999), ms(d.max));
      }
      while (out.back() == ' ') out.pop_back();
      out += fmt::format("\n      {}\n", f.what);
    }
    for (const auto& n : w.notes) out += fmt::format("  ! {}\n", n);
  }
  return out;
}

std::string render_json(const Results& results) {
  json::object root;
  const auto& m = results.machine;
  root["machine"] = {{"cpu", m.cpu},       {"cores", m.cores},       {"memory_gib", m.memory_gib},
                     {"kernel", m.kernel}, {"compiler", m.compiler}, {"generator", m.build}};
  root["date"] = m.date;
  root["commit"] = results.commit;
  root["server"] = results.server;
  root["quick"] = results.quick;
  json::array workloads;
  for (const auto& w : results.workloads) {
    json::object o{{"name", w.name}, {"shape", w.shape}};
    json::object params;
    for (const auto& [name, value] : w.parameters) params[name] = value;
    o["parameters"] = std::move(params);
    json::array figures;
    for (const auto& f : w.figures) {
      json::object figure{{"key", f.key}, {"value", f.value}, {"unit", f.unit}, {"what", f.what}};
      if (f.distribution) {
        const auto& d = *f.distribution;
        figure["distribution_ms"] = {{"count", d.count}, {"mean", d.mean},  {"p50", d.p50}, {"p90", d.p90},
                                     {"p99", d.p99},     {"p99.9", d.p999}, {"max", d.max}};
      }
      figures.push_back(std::move(figure));
    }
    o["figures"] = std::move(figures);
    json::array notes;
    for (const auto& n : w.notes) notes.push_back(json::value(n));
    o["notes"] = std::move(notes);
    if (!w.error.empty()) o["error"] = w.error;
    workloads.push_back(std::move(o));
  }
  root["workloads"] = std::move(workloads);
  json::array targets;
  for (const auto& t : kTargets) {
    json::object o{
        {"key", t.key}, {"bound", t.bound == AtLeast ? "at least" : "at most"}, {"target", t.value}, {"text", t.text}};
    if (const auto* f = results.find(t.key)) {
      o["value"] = f->value;
      if (results.judged) o["met"] = met(t, f->value);
    }
    targets.push_back(std::move(o));
  }
  root["targets"] = std::move(targets);
  return json::serialize(root) + "\n";
}

std::string render_markdown(const Results& results) {
  const auto& m = results.machine;
  std::string out =
      "# Performance\n\nWritten by `./dev bench`; do not edit. Every latency is measured by the clients.\n";
  if (results.quick) out += "\n**A quick run: the figures only show that everything works.**\n";
  out += fmt::format("\n| | |\n|---|---|\n| date | {} |\n| commit | {} |\n| machine | {}, {} cores, {:.0f} GiB, {} |\n",
                     m.date, results.commit.empty() ? "not given" : results.commit, m.cpu, m.cores, m.memory_gib,
                     m.kernel);
  out += fmt::format("| generator | on the same machine; {}, {} |\n| server | {} |\n", m.compiler, m.build,
                     results.server);

  out += "\n## Targets\n\n| target | measured | verdict | ceiling in the same run |\n|---|---|---|---|\n";
  for (const auto& t : kTargets) {
    const auto* f = results.find(t.key);
    const auto* c = t.ceiling.empty() ? nullptr : results.find(t.ceiling);
    out += fmt::format("| {} {} {} | {} | {} | {} |\n", t.bound == AtLeast ? "at least" : "at most", number(t.value),
                       t.text, f ? number(f->value) : "-", verdict(results, t, f),
                       c ? fmt::format("{} {} (`{}`)", number(c->value), c->unit, c->key) : "");
  }

  for (const auto& w : results.workloads) {
    out += fmt::format("\n## {}\n\n{}.\n", w.name, w.shape);
    if (!w.parameters.empty()) out += fmt::format("Parameters: {}.\n", parameters(w));
    if (!w.error.empty()) out += fmt::format("\n**Broken off**: {}\n", w.error);
    if (w.figures.empty()) continue;
    out += "\n| figure | value | p50 / p99 / p99.9 / max ms | what |\n|---|---|---|---|\n";
    for (const auto& f : w.figures) {
      std::string spread;
      if (f.distribution) {
        const auto& d = *f.distribution;
        spread = fmt::format("{} / {} / {} / {}", ms(d.p50), ms(d.p99), ms(d.p999), ms(d.max));
      }
      out += fmt::format("| `{}` | {} {} | {} | {} |\n", f.key, number(f.value), f.unit, spread, f.what);
    }
    if (!w.notes.empty()) out += "\n";
    for (const auto& n : w.notes) out += fmt::format("- {}\n", n);
  }
  return out;
}

}  // namespace haechi::bench
