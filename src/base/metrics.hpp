#pragma once
// Counters, gauges and histograms in Prometheus' text format.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace haechi {

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Seconds in powers of two from 50 us to 26 s.
class Histogram {
 public:
  static constexpr std::size_t kBuckets = 20;
  void observe(double seconds);

 private:
  friend class Metrics;
  std::atomic<std::uint64_t> buckets_[kBuckets + 1]{};
  std::atomic<std::uint64_t> sum_us_{0};
};

/// Owns what it hands out; hand-outs live as long as the registry. Any thread.
class Metrics {
 public:
  /// `labels` as Prometheus writes them, without braces: `route="/x",code="200"`.
  Counter& counter(std::string name, std::string help, std::string labels = {});
  Histogram& histogram(std::string name, std::string help, std::string labels = {});
  /// `read` is called when the page is rendered, on the loop thread.
  void gauge(std::string name, std::string help, std::function<double()> read, std::string labels = {});
  std::string render() const;

 private:
  struct Entry {
    std::string name, help, labels;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Histogram> histogram;
    std::function<double()> gauge;
  };
  Entry& entry(std::string name, std::string help, std::string labels);
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Entry>> entries_;
};

}  // namespace haechi
