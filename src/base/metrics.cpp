#include "base/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace haechi {
namespace {
double upper_bound_of(std::size_t bucket) { return 50e-6 * static_cast<double>(1ull << bucket); }
}  // namespace

void Histogram::observe(double seconds) {
  std::size_t b = 0;
  while (b < kBuckets && seconds > upper_bound_of(b)) ++b;
  buckets_[b].fetch_add(1, std::memory_order_relaxed);
  sum_us_.fetch_add(static_cast<std::uint64_t>(seconds * 1e6), std::memory_order_relaxed);
}

Metrics::Entry& Metrics::entry(std::string name, std::string help, std::string labels) {
  const std::lock_guard lock(mutex_);
  for (auto& e : entries_) {
    if (e->name == name && e->labels == labels) return *e;
  }
  entries_.push_back(std::make_unique<Entry>());
  auto& e = *entries_.back();
  e.name = std::move(name);
  e.help = std::move(help);
  e.labels = std::move(labels);
  return e;
}

Counter& Metrics::counter(std::string name, std::string help, std::string labels) {
  auto& e = entry(std::move(name), std::move(help), std::move(labels));
  if (!e.counter) e.counter = std::make_unique<Counter>();
  return *e.counter;
}

Histogram& Metrics::histogram(std::string name, std::string help, std::string labels) {
  auto& e = entry(std::move(name), std::move(help), std::move(labels));
  if (!e.histogram) e.histogram = std::make_unique<Histogram>();
  return *e.histogram;
}

void Metrics::gauge(std::string name, std::string help, std::function<double()> read, std::string labels) {
  entry(std::move(name), std::move(help), std::move(labels)).gauge = std::move(read);
}

std::string Metrics::render() const {
  const std::lock_guard lock(mutex_);
  std::vector<const Entry*> sorted;
  for (const auto& e : entries_) sorted.push_back(e.get());
  std::ranges::sort(sorted, {}, [](const Entry* e) { return std::tie(e->name, e->labels); });
  std::string out;
  std::string_view last;
  for (const auto* e : sorted) {
    const auto* type = e->counter ? "counter" : e->histogram ? "histogram" : "gauge";
    if (e->name != last) {
      out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", e->name, e->help, e->name, type);
      last = e->name;
    }
    const std::string braces = e->labels.empty() ? "" : "{" + e->labels + "}";
    if (e->counter) out += fmt::format("{}{} {}\n", e->name, braces, e->counter->value());
    if (e->gauge) out += fmt::format("{}{} {}\n", e->name, braces, e->gauge());
    if (e->histogram) {
      std::uint64_t total = 0;
      const std::string comma = e->labels.empty() ? "" : e->labels + ",";
      for (std::size_t b = 0; b <= Histogram::kBuckets; ++b) {
        total += e->histogram->buckets_[b].load(std::memory_order_relaxed);
        const auto le = b == Histogram::kBuckets ? std::string("+Inf") : fmt::format("{}", upper_bound_of(b));
        out += fmt::format("{}_bucket{{{}le=\"{}\"}} {}\n", e->name, comma, le, total);
      }
      out += fmt::format("{}_sum{} {}\n{}_count{} {}\n", e->name, braces,
                         static_cast<double>(e->histogram->sum_us_.load()) / 1e6, e->name, braces, total);
    }
  }
  return out;
}

}  // namespace haechi
