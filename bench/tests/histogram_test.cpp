#include "bench/histogram.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

using haechi::bench::Histogram;

TEST_CASE("an empty histogram answers zero") {
  const Histogram h;
  CHECK(h.count() == 0);
  CHECK(h.quantile(0.5) == 0);
  CHECK(h.max() == 0);
  CHECK(h.min() == 0);
}

TEST_CASE("every value lands in a bucket whose middle is within half a percent") {
  for (std::uint64_t v = 1; v < (std::uint64_t{1} << 62); v += v / 7 + 1) {
    const auto i = Histogram::index(v);
    REQUIRE(i < Histogram::kBuckets);
    const auto middle = static_cast<double>(Histogram::middle(i));
    CHECK(std::abs(middle - static_cast<double>(v)) <= 0.005 * static_cast<double>(v));
  }
  CHECK(Histogram::index(~std::uint64_t{0}) == Histogram::kBuckets - 1);
}

TEST_CASE("quantiles agree with a sorted list to one percent") {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latencies(12, 2);
  Histogram h;
  std::vector<std::int64_t> all;
  for (int i = 0; i < 50'000; ++i) {
    all.push_back(static_cast<std::int64_t>(latencies(random)));
    h.add(all.back());
  }
  std::ranges::sort(all);
  for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const auto exact = static_cast<double>(all[static_cast<std::size_t>(std::ceil(q * 50'000.0)) - 1]);
    CHECK(static_cast<double>(h.quantile(q)) == doctest::Approx(exact).epsilon(0.01));
  }
  CHECK(h.quantile(1.0) == static_cast<std::uint64_t>(all.back()));
  CHECK(h.min() == static_cast<std::uint64_t>(all.front()));
}

TEST_CASE("merging is the same as adding to one") {
  Histogram a, b, both;
  for (std::int64_t v = 1; v < 5000; v += 3) {
    (v % 2 ? a : b).add(v * 1000);
    both.add(v * 1000);
  }
  a.merge(b);
  CHECK(a.count() == both.count());
  CHECK(a.max() == both.max());
  CHECK(a.mean() == doctest::Approx(both.mean()));
  CHECK(a.quantile(0.99) == both.quantile(0.99));
}

TEST_CASE("a negative latency counts as zero") {
  Histogram h;
  h.add(-5);
  CHECK(h.count() == 1);
  CHECK(h.max() == 0);
}
