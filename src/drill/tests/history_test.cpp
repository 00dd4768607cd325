#include "drill/history.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>

#include "base/json.hpp"
#include "drill/tests/builder.hpp"

using namespace haechi;
using namespace haechi::drill;

TEST_CASE("texts are kept once and stay where they are") {
  Texts texts;
  const auto a = texts.add("$a");
  const auto view = texts[a];
  for (int i = 0; i < 5000; ++i) texts.add("$" + std::to_string(i));
  CHECK(texts.add("$a") == a);
  CHECK(texts[a].data() == view.data());
  CHECK(texts[kNoRef].empty());
}

TEST_CASE("every line of a written history is a JSON object and nothing is left out") {
  Builder b(7, 2);
  const auto& h = b.good_run(200);
  b.h.clients[0].name = "with \"quotes\"\n";
  std::stringstream out;
  write_json_lines(out, h);
  std::map<std::string, std::size_t> lines;
  for (std::string line; std::getline(out, line);) {
    const auto parsed = parse_json_object(line);
    REQUIRE_MESSAGE(parsed.has_value(), line);
    ++lines[std::string(*get_string(*parsed, "type"))];
  }
  CHECK(lines["operation"] == h.operations.size());
  CHECK(lines["seen"] == h.seen.size());
  CHECK(lines["sync"] == h.steps.size());
  CHECK(lines["trouble"] == h.troubles.size());
  CHECK(lines["final"] == h.finals.size());
  CHECK(lines["client"] == h.clients.size());
}

TEST_CASE("EDN operations come in pairs, in order of time, and no process goes on after it was in doubt") {
  Builder b(11, 2);
  const auto& h = b.good_run(300);
  std::stringstream out;
  write_edn(out, h);
  std::set<std::string> open, ended;
  long long before = 0;
  std::size_t index = 0, invoked = 0;
  for (std::string line; std::getline(out, line); ++index) {
    const auto field = [&](const std::string& key) {
      const auto at = line.find(":" + key + " ");
      REQUIRE_MESSAGE(at != std::string::npos, line);
      const auto from = at + key.size() + 2;
      return line.substr(from, line.find_first_of(",}", from) - from);
    };
    CHECK(field("index") == std::to_string(index));
    CHECK(field("f") == ":txn");
    const auto time = std::stoll(field("time"));
    CHECK(time >= before);
    before = time;
    const auto process = field("process"), type = field("type");
    CHECK_FALSE(ended.contains(process));
    if (type == ":invoke") {
      ++invoked;
      CHECK_MESSAGE(open.insert(process).second, line);
    } else {
      CHECK_MESSAGE(open.erase(process) == 1, line);
      if (type == ":info") ended.insert(process);
    }
  }
  CHECK(open.empty());
  CHECK(invoked ==
        static_cast<std::size_t>(std::ranges::count(h.operations, Kind::Send, &Operation::kind)) + h.finals.size());
}
