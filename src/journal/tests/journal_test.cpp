#include "journal/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::journal;
using namespace haechi::journal::test;

namespace {

enum class Own { Refused = 1 };

Task<void> submit_into(Journal& j, std::function<Result<Position>(Tx&)> f, Guard guard,
                       std::vector<Result<Position>>& out) {
  out.push_back(co_await j.submit(std::move(f), guard));
}

}  // namespace

TEST_ON_ENGINES("a command is answered after it is durable, with gapless positions, over a restart") {
  if (!Engine::available()) return;
  const Engine place;
  for (int run = 0; run < 3; ++run) {
    Node node(place.open(), {.inline_commits = run == 1});
    node.journal->start();
    CHECK(node.journal->position() == run * 3);
    for (int i = 1; i <= 3; ++i) CHECK(node.note("x") == run * 3 + i);
    CHECK(node.journal->position() == run * 3 + 3);
    CHECK(node.count_notes() == run * 3 + 3);
    CHECK(node.journal->healthy());
  }
}

TEST_ON_ENGINES("a refusal comes back unchanged, changes nothing and gives its positions back") {
  if (!Engine::available()) return;
  const Engine place;
  Node node(place.open());
  std::vector<Entry> followed;
  node.journal->subscribe([&](std::span<const Entry> e) { followed.insert(followed.end(), e.begin(), e.end()); });
  std::vector<Result<Position>> answers;
  Scope scope;
  const auto good = [](Tx& tx) -> Result<Position> { return tx.append(1, "s", "{}"); };
  const auto refuses = [](Tx& tx) -> Result<Position> {
    Node::write_note(tx, "gone");
    tx.append(1, "gone", "{}");
    return fail(haechi::Errc::Conflict, "no");
  };
  const auto throws = [](Tx& tx) -> Result<Position> {
    Node::write_note(tx, "gone");
    tx.sql().exec(Sql{"INSERT INTO nothing VALUES(1)"});
    return 1;
  };
  // All in one batch. A bare one that breaks its promise costs only a repetition.
  for (const Guard guard : {Guard::Guarded, Guard::Bare}) {
    scope.spawn(submit_into(*node.journal, good, Guard::Bare, answers));
    scope.spawn(submit_into(*node.journal, refuses, guard, answers));
    scope.spawn(submit_into(*node.journal, good, Guard::Guarded, answers));
    scope.spawn(submit_into(*node.journal, throws, guard, answers));
    scope.spawn(submit_into(*node.journal, good, Guard::Bare, answers));
  }
  node.journal->start();
  node.loop.run_until([&] { return scope.running() == 0; });
  REQUIRE(answers.size() == 10);
  for (std::size_t i : {0u, 5u}) {
    CHECK(answers[i].has_value());
    CHECK(answers[i + 1].error().is(haechi::Errc::Conflict));
    CHECK(answers[i + 2].has_value());
    CHECK(answers[i + 3].error().is(journal::Errc::Failed));
    CHECK(answers[i + 4].has_value());
  }
  CHECK(node.journal->position() == 6);
  REQUIRE(followed.size() == 6);
  for (Position expected = 1; const auto& entry : followed) {
    CHECK(entry.pos == expected++);
    CHECK(entry.subject == "s");
  }
  CHECK(node.count_notes() == 0);
  const auto feed = node.loop.run(node.journal->read_feed(2, 3));
  REQUIRE(feed);
  REQUIRE(feed->size() == 3);
  CHECK(feed->front().pos == 2);
  CHECK(node.journal->healthy());
}
