#include "base/metrics.hpp"

#include <doctest/doctest.h>

#include "base/random.hpp"

using namespace haechi;

TEST_CASE("metrics are rendered as Prometheus reads them") {
  Metrics metrics;
  metrics.counter("requests_total", "Requests", R"(route="/a")").add(2);
  metrics.counter("requests_total", "Requests", R"(route="/b")").add();
  metrics.gauge("queue", "Waiting", [] { return 7.0; });
  auto& seconds = metrics.histogram("seconds", "Time");
  seconds.observe(0.00001);
  seconds.observe(0.001);
  seconds.observe(1000);
  const auto page = metrics.render();
  const auto has = [&](std::string_view line) {
    return ("\n" + page).find("\n" + std::string(line) + "\n") != std::string::npos;
  };
  CHECK(has("# HELP requests_total Requests"));
  CHECK(has("# TYPE requests_total counter"));
  CHECK(has(R"(requests_total{route="/a"} 2)"));
  CHECK(has(R"(requests_total{route="/b"} 1)"));
  CHECK(has("# TYPE queue gauge"));
  CHECK(has("queue 7"));
  CHECK(has("# TYPE seconds histogram"));
  CHECK(has(R"(seconds_bucket{le="5e-05"} 1)"));
  CHECK(has(R"(seconds_bucket{le="+Inf"} 3)"));
  CHECK(has("seconds_count 3"));
  // The heading of a name stands once, whatever its labels.
  CHECK(page.find("# TYPE requests_total") == page.rfind("# TYPE requests_total"));
}

TEST_CASE("a seeded sequence repeats and stays within its bounds") {
  SeededRandom a(7), b(7), c(8);
  CHECK(a.text(20) == b.text(20));
  CHECK(a.u64() == b.u64());
  CHECK(a.u64() != c.u64());
  for (const std::uint64_t bound : {std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{1000}, ~std::uint64_t{0}}) {
    for (int i = 0; i < 200; ++i) REQUIRE(a.below(bound) < bound);
  }
  CHECK(a.text(50, "x") == std::string(50, 'x'));
}
