#include "drill/report.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "base/json.hpp"
#include "drill/stats.hpp"
#include "drill/tests/builder.hpp"

using namespace haechi;
using namespace haechi::drill;

namespace {

RunRecord record(std::string fault, std::string role, double outage) {
  RunRecord r;
  r.plan = {.number = 1, .fault = std::move(fault), .site = "a", .role = std::move(role), .seed = 7};
  r.figures.acknowledged = 12'345;
  r.figures.write_outage_s = outage;
  r.figures.clients_moved_s = 0.5;
  r.whole_again_s = 4.25;
  return r;
}

}  // namespace

TEST_CASE("the JSON file has each promised figure of each run") {
  auto run = record("kill", "primary", 1.2345);
  run.figures.lost = 1;
  run.plan.seed = std::numeric_limits<std::uint64_t>::max();
  const std::vector<RunRecord> runs{run, record("freeze", "third", 0.1)};
  const auto parsed = parse_json_object(render_json(runs));
  REQUIRE(parsed.has_value());
  const auto& list = *get_array(*parsed, "runs");
  REQUIRE(list.size() == 2);
  const auto& first = list[0].get_object();
  for (const auto* key : {"fault", "site", "seed", "acknowledged", "lost", "twice", "out_of_order", "unreadable",
                          "client_errors", "write_outage_s", "clients_moved_s", "whole_again_s"}) {
    CAPTURE(key);
    CHECK(first.contains(key));
  }
  CHECK(get_string(first, "fault") == "kill");
  CHECK(get_int(first, "lost") == 1);
  CHECK(first.at("seed").to_number<std::uint64_t>() == run.plan.seed);
  CHECK(first.at("write_outage_s").as_double() == doctest::Approx(1.235));
}

TEST_CASE("what never came is null in the JSON file and 'never' for people") {
  auto run = record("kill", "primary", 1);
  run.whole_again_s.reset();
  run.figures.clients_moved_s = std::numeric_limits<double>::infinity();
  const std::vector<RunRecord> runs{run};
  const auto parsed = parse_json_object(render_json(runs));
  REQUIRE(parsed.has_value());
  const auto& first = get_array(*parsed, "runs")->at(0).get_object();
  CHECK(first.at("whole_again_s").is_null());
  CHECK(first.at("clients_moved_s").is_null());
  CHECK(render_summary(runs).find("never") != std::string::npos);
  CHECK_FALSE(good(run));
}

TEST_CASE("limits on the time without writes") {
  struct Row {
    const char *fault, *role;
    double outage;
    bool good;
  };
  for (const auto& row : std::vector<Row>{{"kill", "primary", 3.4, true},
                                          {"kill", "primary", 3.6, false},
                                          {"freeze", "primary", 5.9, true},
                                          {"cut", "primary", 6.1, false},
                                          {"kill", "standby", 0.9, true},
                                          {"freeze", "third", 1.1, false},
                                          {"evacuate", "primary", 0.9, true},
                                          {"evacuate", "primary", 1.1, false},
                                          {"slow", "primary", 60, true}}) {
    CAPTURE(row.fault);
    CAPTURE(row.outage);
    CHECK(good(record(row.fault, row.role, row.outage)) == row.good);
  }
}

TEST_CASE("runs of one fault and role are judged by their median together") {
  std::vector<RunRecord> runs;
  for (const double s : {1.0, 1.9, 3.0}) runs.push_back(record("kill", "primary", s));
  runs.push_back(record("kill", "third", 0.2));
  auto groups = group(runs);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].median_outage_s == doctest::Approx(1.9));
  CHECK(groups[0].worst_outage_s == doctest::Approx(3.0));
  CHECK(groups[0].good());
  runs[1].figures.write_outage_s = 2.1;
  CHECK_FALSE(group(runs)[0].good());
}

TEST_CASE("a broken promise is never called good") {
  for (auto Figures::* member :
       {&Figures::lost, &Figures::twice, &Figures::out_of_order, &Figures::unreadable, &Figures::client_errors}) {
    auto run = record("kill", "primary", 1);
    REQUIRE(good(run));
    run.figures.*member = 1;
    CHECK_FALSE(good(run));
    const std::vector<RunRecord> runs{run};
    CHECK(render_summary(runs).find("BROKEN") != std::string::npos);
    CHECK(render_html({}, runs).find("promise was broken") != std::string::npos);
  }
}

TEST_CASE("the page is one file: nothing in it is fetched, and texts cannot become markup") {
  Builder b(3, 2);
  auto& h = b.good_run(400);
  auto run = record("kill", "primary", 1);
  run.figures.sites = h.sites;
  run.figures.began = h.load_from;
  run.figures.slices = slices(h, run.figures.slice_ns);
  run.events = {{h.load_from + kSecond / 2, Event::Kind::FaultBegins, "<script>alert(1)</script> & \"more\""},
                {h.load_from + kSecond, Event::Kind::Whole, "whole"}};
  run.broken = {"<b>bold</b>"};
  const std::vector<RunRecord> runs{run, run};
  const auto page = render_html({"today", "<machine>", ""}, runs);
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("<b>bold") == std::string::npos);
  CHECK(page.find("<machine>") == std::string::npos);
  for (const auto* outside : {"http://", "https://", "src=", "url(", "@import", "<link"}) {
    CAPTURE(outside);
    CHECK(page.find(outside) == std::string::npos);
  }
  CHECK(page.find("<svg") != std::string::npos);
  CHECK(page.find("nan") == std::string::npos);
  CHECK(page.find("inf\"") == std::string::npos);
}

TEST_CASE("no runs and no traffic make a page too") {
  CHECK(render_html({}, {}).find("No run was finished") != std::string::npos);
  const std::vector<RunRecord> runs{record("kill", "primary", 0)};
  CHECK(render_html({}, runs).find("No traffic") != std::string::npos);
}

TEST_CASE("slices hold every acknowledgement once, by the site that answered") {
  Builder b(5, 2);
  auto& h = b.good_run(300);
  std::int64_t all = 0, by_site = 0, inside = 0;
  for (const auto& s : slices(h, 100 * kMillisecond)) {
    all += s.acknowledged;
    for (const auto n : s.by_site) by_site += n;
    CHECK(s.p50_ms <= s.p99_ms);
    CHECK(s.p99_ms <= s.max_ms);
  }
  for (const auto& o : h.operations) inside += o.kind == Kind::Send && o.outcome == Outcome::Ok && o.end < h.load_until;
  CHECK(all == inside);
  CHECK(by_site == inside);
}

TEST_CASE("quantiles") {
  const std::vector<double> ten{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  CHECK(quantile(ten, 0.5) == 5);
  CHECK(quantile(ten, 0.99) == 10);
  CHECK(quantile(ten, 0) == 1);
  CHECK(quantile({}, 0.5) == 0);
}

TEST_CASE("an answer that was long due counts from when it was due") {
  Builder b;
  b.send();
  b.h.operations.back().intended = b.h.operations.back().end - kSecond;
  const auto l = latency(b.h, 0, kNever);
  CHECK(l.p99_ms == doctest::Approx(1000));
}
