#include "journal/keys.hpp"
#include "journal/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::journal;
using namespace haechi::journal::test;

namespace {

/// The whole once-only way; counts how often the command really runs.
Task<Result<std::string>> once(Journal& j, CommandKey key, std::string answer, int& runs) {
  CO_TRY(auto claim, co_await j.claim(std::move(key)));
  if (claim.answer()) co_return *claim.answer();
  co_return co_await j.submit(claim, [answer, &runs](Tx& tx) -> Result<std::string> {
    ++runs;
    if (answer.empty()) return fail(haechi::Errc::Invalid, "refused");
    Node::write_note(tx, answer);
    return answer;
  });
}
Task<void> collect(Task<Result<std::string>> task, std::vector<Result<std::string>>& out) {
  out.push_back(co_await std::move(task));
}
Task<void> take_claim(Journal& j, CommandKey key, std::optional<Result<Claim>>& out) {
  out.emplace(co_await j.claim(std::move(key)));
}

}  // namespace

TEST_ON_ENGINES("of concurrent commands with one key one runs and all get its answer") {
  if (!Engine::available()) return;
  const Engine place;
  Node node(place.open());
  int runs = 0;
  std::vector<Result<std::string>> answers;
  Scope scope;
  for (int i = 0; i < 5; ++i) {
    scope.spawn(collect(once(*node.journal, {"scope", "key"}, "answer " + std::to_string(i), runs), answers));
  }
  scope.spawn(collect(once(*node.journal, {"scop", "ekey"}, "another", runs), answers));
  node.journal->start();
  node.loop.run_until([&] { return scope.running() == 0; });
  CHECK(runs == 2);
  REQUIRE(answers.size() == 6);
  CHECK(std::ranges::count_if(answers, [](const auto& a) { return a == "answer 0"; }) == 5);
  CHECK(std::ranges::count_if(answers, [](const auto& a) { return a == "another"; }) == 1);
  CHECK(node.journal->position() == 2);
}

TEST_ON_ENGINES("after a refusal a waiter with the same key tries itself") {
  if (!Engine::available()) return;
  const Engine place;
  Node node(place.open());
  int runs = 0;
  std::vector<Result<std::string>> answers;
  Scope scope;
  scope.spawn(collect(once(*node.journal, {"s", "k"}, "", runs), answers));
  scope.spawn(collect(once(*node.journal, {"s", "k"}, "second", runs), answers));
  scope.spawn(collect(once(*node.journal, {"s", "k"}, "third", runs), answers));
  node.journal->start();
  node.loop.run_until([&] { return scope.running() == 0; });
  CHECK(runs == 2);
  REQUIRE(answers.size() == 3);
  CHECK(answers[0].error().is(haechi::Errc::Invalid));
  CHECK(answers[1] == "second");
  CHECK(answers[2] == "second");
}

TEST_ON_ENGINES("a waiter gives up at its deadline, and a dropped claim lets the next one in") {
  if (!Engine::available()) return;
  const Engine place;
  Node node(place.open(), {.claim_wait_max = 5s});
  node.journal->start();
  auto holder = node.loop.run(node.journal->claim({"s", "k"}));
  REQUIRE(holder);
  REQUIRE_FALSE(holder->answer());
  Scope scope;
  std::optional<Result<Claim>> early, late;
  scope.spawn(take_claim(*node.journal, {"s", "k"}, early));
  node.loop.advance(3s);
  scope.spawn(take_claim(*node.journal, {"s", "k"}, late));
  node.loop.advance(2s);
  REQUIRE(early);
  REQUIRE_FALSE(early->has_value());
  CHECK(early->error().is(haechi::Errc::Timeout));
  CHECK_FALSE(late);
  {
    const Claim dropped = *std::move(holder);
  }
  node.loop.run_ready();
  REQUIRE(late);
  CHECK(late->has_value());
  late.reset();
  CHECK(scope.running() == 0);
}

TEST_ON_ENGINES("a new key costs neither a wait nor a read") {
  if (!Engine::available()) return;
  const Engine place;
  Node node(place.open());
  Scope scope;
  std::optional<Result<Claim>> claim;
  scope.spawn(take_claim(*node.journal, {"s", "k"}, claim));
  CHECK(claim);  // without any turn of the loop
}

TEST_ON_ENGINES("answers are found in memory, by the index in memory, and in its table, also after restarts") {
  if (!Engine::available()) return;
  const Engine place;
  const Options options{.answers_in_memory = 3, .index_segment_entries = 8};
  constexpr int kKeys = 60;
  int runs = 0;
  {
    Node node(place.open(), options);
    node.journal->start();
    for (int i = 0; i < kKeys; ++i) {
      CHECK(node.loop.run(once(*node.journal, {"s", std::to_string(i)}, "a" + std::to_string(i), runs)) ==
            "a" + std::to_string(i));
    }
  }
  CHECK(runs == kKeys);
  for (int restart = 0; restart < 2; ++restart) {
    Node node(place.open(), options);
    node.journal->start();
    for (int i = 0; i < kKeys; ++i) {
      CHECK(node.loop.run(once(*node.journal, {"s", std::to_string(i)}, "other", runs)) == "a" + std::to_string(i));
    }
    CHECK(runs == kKeys + restart);
    CHECK(node.loop.run(once(*node.journal, {"t", std::to_string(restart)}, "new", runs)) == "new");
  }
}

TEST_ON_ENGINES("old records are forgotten in slices, newer ones are kept") {
  if (!Engine::available()) return;
  const Engine place;
  Options options{
      .keys_remembered_min = 1000, .answers_in_memory = 10, .feed_rows_kept = 500, .index_segment_entries = 500};
  Node node(place.open(), options);
  node.journal->start();
  int runs = 0;
  constexpr int kKeys = 6000;
  Scope scope;
  std::vector<Result<std::string>> answers;
  for (int i = 0; i < kKeys; ++i) {
    scope.spawn(collect(once(*node.journal, {"s", std::to_string(i)}, "a", runs), answers));
    if (i % 100 == 99) node.loop.run_until([&] { return scope.running() == 0; });
  }
  for (int i = 0; i < 20; ++i) node.note("lets maintenance run");
  const auto rows = node.loop.run(node.readers->read(
      [](Connection& c) -> Result<std::int64_t> { return c.one_i64(Sql{"SELECT count(*) FROM commands"}).value(); }));
  REQUIRE(rows);
  CHECK(*rows >= 1000);
  CHECK(*rows < 3100);
  CHECK(node.loop.run(once(*node.journal, {"s", "5500"}, "again", runs)) == "a");
  CHECK(node.loop.run(once(*node.journal, {"s", "5"}, "again", runs)) == "again");
}

TEST_ON_ENGINES("a hash alone is never taken for the key") {
  if (!Engine::available()) return;
  const Engine place;
  Node node(place.open());
  Keys keys(node.loop, *node.readers, {});
  keys.recorded(42, 1, "1:ab", "answer");
  CHECK(keys.look_up({42, "1:ab"}).answer == "answer");
  CHECK_FALSE(keys.look_up({42, "1:xy"}).answer);
  CHECK(Keys::name_of({"a", "bc"}).full_key != Keys::name_of({"ab", "c"}).full_key);
  CHECK(Keys::name_of({"a", "bc"}).hash == Keys::name_of({"a", "bc"}).hash);
}
