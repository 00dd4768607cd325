#pragma once
// Latencies in log-linear buckets: 128 per power of two, so a quantile is off
// by at most 0.4 %. Count, sum, smallest and largest are exact.

#include <array>
#include <bit>
#include <cstdint>
#include <memory>

namespace haechi::bench {

class Histogram {
 public:
  static constexpr std::size_t kSubBits = 7;
  static constexpr std::size_t kSub = std::size_t{1} << kSubBits;
  static constexpr std::size_t kBuckets = (64 - kSubBits) * kSub + kSub;

  void add(std::int64_t value) {
    const auto v = value < 0 ? std::uint64_t{0} : static_cast<std::uint64_t>(value);
    ++(*buckets_)[index(v)];
    ++count_;
    sum_ += static_cast<double>(v);
    if (v > max_) max_ = v;
    if (v < min_) min_ = v;
  }

  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) (*buckets_)[i] += (*other.buckets_)[i];
    count_ += other.count_;
    sum_ += other.sum_;
    if (other.max_ > max_) max_ = other.max_;
    if (other.min_ < min_) min_ = other.min_;
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }
  std::uint64_t min() const { return count_ ? min_ : 0; }
  double mean() const { return count_ ? sum_ / static_cast<double>(count_) : 0.0; }

  /// The value that a share `q` of all samples does not exceed; 0 when empty.
  std::uint64_t quantile(double q) const {
    if (count_ == 0) return 0;
    const double exact = q * static_cast<double>(count_);
    auto rank = static_cast<std::uint64_t>(exact);
    if (static_cast<double>(rank) < exact || rank == 0) ++rank;
    if (rank >= count_) return max_;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += (*buckets_)[i];
      if (seen >= rank) {
        const auto v = middle(i);
        return v > max_ ? max_ : v < min_ ? min_ : v;
      }
    }
    return max_;
  }

  static std::size_t index(std::uint64_t v) {
    if (v < kSub) return static_cast<std::size_t>(v);
    const auto shift = static_cast<std::size_t>(63 - std::countl_zero(v)) - kSubBits;
    return shift * kSub + static_cast<std::size_t>(v >> shift);
  }
  static std::uint64_t middle(std::size_t i) {
    if (i < 2 * kSub) return i;
    const std::size_t shift = i / kSub - 1;
    const std::uint64_t mantissa = i - shift * kSub;
    return (mantissa << shift) + ((std::uint64_t{1} << shift) >> 1);
  }

 private:
  using Buckets = std::array<std::uint64_t, kBuckets>;
  std::unique_ptr<Buckets> buckets_ = std::make_unique<Buckets>();
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
  std::uint64_t min_ = ~std::uint64_t{0};
  double sum_ = 0;
};

}  // namespace haechi::bench
