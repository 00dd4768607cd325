#include "drill/stats.hpp"

#include <algorithm>
#include <cmath>

namespace haechi::drill {
namespace {

double ms(Nanos t) { return static_cast<double>(t) / static_cast<double>(kMillisecond); }
bool acknowledged(const Operation& o) { return o.kind == Kind::Send && o.outcome == Outcome::Ok; }
Nanos due(const Operation& o) { return o.intended != 0 ? o.intended : o.start; }

}  // namespace

double quantile(std::span<const double> sorted, double q) {
  if (sorted.empty()) return 0;
  const auto rank = std::ceil(q * static_cast<double>(sorted.size()));
  const auto at = static_cast<std::size_t>(std::max(1.0, rank)) - 1;
  return sorted[std::min(at, sorted.size() - 1)];
}

Latency latency(const History& history, Nanos from, Nanos until) {
  std::vector<double> all;
  for (const auto& o : history.operations) {
    if (acknowledged(o) && o.end >= from && o.end < until) all.push_back(ms(o.end - due(o)));
  }
  std::ranges::sort(all);
  return {all.size(), quantile(all, 0.5), quantile(all, 0.99), all.empty() ? 0 : all.back()};
}

std::vector<Figures::Slice> slices(const History& history, Nanos length) {
  if (history.load_until <= history.load_from || length <= 0) return {};
  const auto count = static_cast<std::size_t>((history.load_until - history.load_from + length - 1) / length);
  std::vector<Figures::Slice> out(count);
  std::vector<std::vector<double>> times(count);
  for (auto& s : out) s.by_site.resize(history.sites.size());
  const auto slice_of = [&](Nanos at) {
    return at < history.load_from ? count : static_cast<std::size_t>((at - history.load_from) / length);
  };
  for (const auto& o : history.operations) {
    if (!acknowledged(o)) continue;
    const auto i = slice_of(o.end);
    if (i >= count) continue;
    ++out[i].acknowledged;
    const auto site = history.site_of(o.node);
    if (site < out[i].by_site.size()) ++out[i].by_site[site];
    times[i].push_back(ms(o.end - due(o)));
  }
  for (const auto& t : history.troubles) {
    const auto i = slice_of(t.at);
    if (i >= count || t.what == What::Silent) continue;
    out[i].errors += t.what == What::GaveUp || !history.lost_within(history.site_of(t.node), t.since, t.at);
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::ranges::sort(times[i]);
    out[i].p50_ms = quantile(times[i], 0.5);
    out[i].p99_ms = quantile(times[i], 0.99);
    out[i].max_ms = times[i].empty() ? 0 : times[i].back();
  }
  return out;
}

double rate(const History& history, Nanos from, Nanos until) {
  if (until <= from) return 0;
  const auto n = std::ranges::count_if(
      history.operations, [&](const Operation& o) { return acknowledged(o) && o.end >= from && o.end < until; });
  return static_cast<double>(n) * static_cast<double>(kSecond) / static_cast<double>(until - from);
}

}  // namespace haechi::drill
