#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <unordered_map>

#include "base/log.hpp"
#include "journal/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::journal;
using namespace haechi::journal::test;

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAECHI_NO_FORK 1  // the sanitizer does not follow threads into a child
#endif
#endif

#ifndef HAECHI_NO_FORK
namespace {

struct Ack {
  std::int64_t number;
  Position pos;
};

Task<void> keep_submitting(Journal& j, std::int64_t& next, int pipe) {
  while (true) {
    const auto number = next++;
    const auto text = std::to_string(number);
    auto claim = co_await j.claim({"crash", text});
    if (!claim || claim->answer()) _exit(3);
    const auto guard = number % 3 == 0 ? Guard::Guarded : Guard::Bare;
    const auto answer = co_await j.submit(
        *claim, [text](Tx& tx) -> Result<std::string> { return std::to_string(*Node::write_note(tx, text)); }, guard);
    if (!answer) _exit(4);
    const Ack ack{number, std::stoll(*answer)};
    if (::write(pipe, &ack, sizeof ack) != static_cast<ssize_t>(sizeof ack)) _exit(5);
  }
}

/// The child: submits for ever with 16 commands outstanding, and tells what was acknowledged.
[[noreturn]] void run_child(const std::string& path, std::int64_t first, int pipe) {
  Node node(path, {.answers_in_memory = 50, .index_segment_entries = 300});
  node.journal->start();
  std::int64_t next = first;
  Scope scope;
  for (int i = 0; i < 16; ++i) scope.spawn(keep_submitting(*node.journal, next, pipe));
  node.loop.run_until([] { return false; });
  _exit(6);
}

}  // namespace

TEST_CASE("kill -9 at random moments loses nothing acknowledged and does nothing twice") {
  TempDir dir;
  std::mt19937 random(2022);
  std::vector<Ack> acked;
  std::int64_t first = 0;
  for (int round = 0; round < 12; ++round) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::close(ends[0]);
      log::set_level(log::Level::Off);
      run_child(dir.file("db"), first, ends[1]);
    }
    ::close(ends[1]);
    // The moment is a count of answers, so that it does not depend on the machine's speed.
    const auto kill_after = acked.size() + std::uniform_int_distribution<std::size_t>(1, 1500)(random);
    Ack ack;
    bool killed = false;
    while (::read(ends[0], &ack, sizeof ack) == static_cast<ssize_t>(sizeof ack)) {
      acked.push_back(ack);
      first = std::max(first, ack.number + 1);
      if (acked.size() >= kill_after && !std::exchange(killed, true)) ::kill(child, SIGKILL);
    }
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));

    Node node(dir.file("db"));
    node.journal->start();
    const auto rows = node.loop.run(node.readers->read([](Connection& c) -> Result<std::vector<Ack>> {
      return c.all(Sql{"SELECT text, pos FROM notes ORDER BY pos"},
                   [](const Row& r) { return Ack{std::stoll(r.str(0)), r.i64(1)}; });
    }));
    REQUIRE(rows);
    std::unordered_map<std::int64_t, Position> stored;
    Position expected = 0;
    bool gapless = true;
    for (const auto& r : *rows) {
      gapless &= r.pos == ++expected;
      gapless &= stored.emplace(r.number, r.pos).second;
    }
    CHECK(gapless);
    CHECK(node.journal->position() == expected);
    CHECK(std::ranges::all_of(acked, [&](const Ack& a) {
      const auto it = stored.find(a.number);
      return it != stored.end() && it->second == a.pos;
    }));
    // Sent again, it has the same answer; also what was durable but not yet answered.
    for (const auto& r : *rows) {
      if (r.number % 97 != 0 && r.pos + 20 < expected) continue;
      const auto claim = node.loop.run(node.journal->claim({"crash", std::to_string(r.number)}));
      REQUIRE(claim);
      CHECK(claim->answer() == std::to_string(r.pos));
      first = std::max(first, r.number + 1);
    }
  }
}
#endif
