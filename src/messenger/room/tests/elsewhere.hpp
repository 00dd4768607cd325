#pragma once
// A second node that only follows: what the first one commits comes to it as rows,
// when the test says so.

#include <algorithm>

#include "messenger/room/tests/fixture.hpp"

namespace haechi::messenger::room_test {

class FollowingJournal final : public journal::Journal {
 public:
  explicit FollowingJournal(Node& writer) : writer_(writer) { position_ = writer.journal->position(); }

  /// Follows what the first node has committed, up to `upto`, entry by entry as if each were a batch.
  void follow(Position upto = INT64_MAX) {
    upto = std::min(upto, writer_.journal->position());
    auto entries = *writer_.loop.run(writer_.journal->read_feed(position_ + 1, 100'000));
    for (auto& [kind, read] : readers_) {
      auto c = writer_.db->connect(store::Access::ReadOnly);
      for (auto& e : read(*c, position_, upto)) entries.push_back(std::move(e));
    }
    std::ranges::sort(entries, {}, &journal::Entry::pos);
    for (auto& e : entries) {
      if (e.pos > upto) break;
      CHECK(e.pos == position_ + 1);
      e.own = false;
      for (auto& f : followers_) f({&e, 1});
      position_ = e.pos;
    }
  }
  /// As if another node said it.
  void hear(std::string_view topic, std::string_view message) {
    for (auto& [t, f] : hearers_) {
      if (t == topic) f(message);
    }
  }
  std::vector<std::pair<std::string, std::string>> said;
  int refuse_as_stale = 0;  ///< so many commands, after following what there is
  std::vector<journal::Basis> submitted;

  void subscribe(std::function<void(std::span<const journal::Entry>)> f) override {
    followers_.push_back(std::move(f));
  }
  void read_stored(journal::Kind kind, StoredReader reader) override { readers_.emplace_back(kind, std::move(reader)); }
  void maintain(store::LateIndex&) override {}
  void start() override {}
  Task<void> stop() override { co_return; }
  Task<Result<journal::Claim>> claim(journal::CommandKey) override { co_return fail(haechi::Errc::Broken, "not here"); }
  Task<bool> fresh(Duration) override {
    follow();
    co_return true;
  }
  bool cut_off() const override { return false; }
  void broadcast(std::string_view topic, std::string_view message) override { said.emplace_back(topic, message); }
  void on_broadcast(std::string topic, std::function<void(std::string_view)> f) override {
    hearers_.emplace_back(std::move(topic), std::move(f));
  }
  const std::string& node_id() const override { return id_; }
  bool shared() const override { return true; }
  Task<Result<std::vector<journal::Entry>>> read_feed(Position, std::size_t) override {
    co_return fail(haechi::Errc::Broken, "not here");
  }
  std::size_t queued() const override { return 0; }
  bool healthy() const override { return true; }

 protected:
  Result<> enqueue(std::unique_ptr<Job> job) override {
    submitted.push_back(job->basis);
    const bool stale = refuse_as_stale-- > 0;
    if (stale) follow();
    writer_.loop.post([job = std::move(job), stale] {
      job->finish(Error(stale ? journal::Errc::Stale : journal::Errc::Failed, "refused by the test"));
    });
    return {};
  }
  void release_claim(std::uint64_t) noexcept override {}

 private:
  Node& writer_;
  std::string id_ = "second";
  std::vector<std::function<void(std::span<const journal::Entry>)>> followers_;
  std::vector<std::pair<journal::Kind, StoredReader>> readers_;
  std::vector<std::pair<std::string, std::function<void(std::string_view)>>> hearers_;
};

/// The second node's rooms, on the loop and the file of the first.
struct Elsewhere {
  explicit Elsewhere(Node& n) : first(n), journal(n), rooms(*n.readers), writer(rooms, journal, n.clock) {
    REQUIRE(rooms.start(*n.db, journal));
  }
  RoomPtr room(std::string id = "!room:hs") {
    auto found = first.loop.run(rooms.get(std::move(id)));
    REQUIRE(found);
    return *found;
  }
  Node& first;
  FollowingJournal journal;
  Rooms rooms;
  Writer writer;
};

}  // namespace haechi::messenger::room_test
