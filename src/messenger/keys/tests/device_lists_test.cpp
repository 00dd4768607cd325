#include "messenger/keys/tests/fixture.hpp"

namespace haechi::messenger::test {
namespace {

using Names = std::vector<std::string>;

struct Watcher {
  Node& node;
  UserPtr user;
  Position since;
  Watcher(Node& n, const std::string& id) : node(n), user(n.user(id)), since(n.now()) {}
  /// What changed since the last call, "+user" and "-user".
  Names next() {
    const auto upto = node.now();
    auto delta = node.run(node.device_keys->between(user, since, upto));
    since = upto;
    Names out;
    for (const auto& u : delta.changed) out.push_back('+' + u);
    for (const auto& u : delta.left) out.push_back('-' + u);
    return out;
  }
};

}  // namespace

TEST_CASE("device lists tell who changed, who came and who went") {
  Node node;
  const auto room = node.make_room(kAlice);
  Watcher alice(node, kAlice);
  CHECK(alice.next().empty());

  SUBCASE("who begins to share a room") {
    node.member(room, kBob, "join");
    CHECK(alice.next() == Names{"+@bob:hs"});
    CHECK(alice.next().empty());
  }
  SUBCASE("whose devices change while they share a room, and one's own") {
    node.member(room, kBob, "join");
    alice.next();
    node.add_device(kBob, "B");
    CHECK(alice.next() == Names{"+@bob:hs"});
    node.add_device(kAlice, "A");
    CHECK(alice.next() == Names{"+@alice:hs"});
    node.remove_device(kBob, "B");
    CHECK(alice.next() == Names{"+@bob:hs"});
  }
  SUBCASE("a stranger's devices are nobody's business") {
    node.add_device(kCarol, "C");
    CHECK(alice.next().empty());
  }
  SUBCASE("who leaves the last shared room is told as left, before that not") {
    const auto other = node.make_room(kAlice);
    node.member(room, kBob, "join");
    node.member(other, kBob, "join");
    CHECK(alice.next() == Names{"+@bob:hs"});
    node.member(room, kBob, "leave");
    CHECK(alice.next().empty());
    node.member(other, kBob, "leave");
    CHECK(alice.next() == Names{"-@bob:hs"});
  }
  SUBCASE("a name that changes in a room is no change of devices") {
    node.member(room, kBob, "join");
    alice.next();
    node.run(node.writer->send(
        room, Node::state(kBob, "m.room.member", kBob, {{"membership", "join"}, {"displayname", "Bob"}})));
    CHECK(alice.next().empty());
  }
  SUBCASE("joining a room brings all its members, leaving it takes them away") {
    Watcher bob(node, kBob);
    node.member(room, kCarol, "join");
    node.member(room, kBob, "join");
    CHECK(bob.next() == Names{"+@alice:hs", "+@carol:hs"});
    node.member(room, kCarol, "leave");
    node.member(room, kBob, "leave");
    CHECK(bob.next() == Names{"-@alice:hs", "-@carol:hs"});
  }
  SUBCASE("encryption switched on later") {
    node.member(room, kBob, "join");
    alice.next();
    node.set_state(room, kAlice, "m.room.encryption", {{"algorithm", "m.megolm.v1.aes-sha2"}});
    CHECK(alice.next() == Names{"+@bob:hs"});
  }
  SUBCASE("more than the memory of a room holds") {
    node.member(room, kBob, "join");
    for (std::size_t i = 0; i < Room::kTimelineMax + 10; ++i) {
      node.run(node.writer->send(room, {.sender = kAlice,
                                        .type = "m.room.message",
                                        .state_key = std::nullopt,
                                        .content = {{"body", "x"}},
                                        .device = {},
                                        .txn_id = {},
                                        .redact_target = nullptr,
                                        .ts = std::nullopt}));
    }
    CHECK(alice.next() == Names{"+@bob:hs"});
  }
}

TEST_CASE("device list changes from before a restart are found again") {
  auto dir = std::make_shared<TempDir>();
  Position before = 0;
  {
    Node node(dir);
    const auto room = node.make_room(kAlice);
    node.member(room, kBob, "join");
    before = node.now();
    node.add_device(kBob, "B");
    node.add_device(kCarol, "C");
  }
  Node node(dir);
  auto alice = node.user(kAlice);
  CHECK(node.run(node.device_keys->between(alice, before, node.now())).changed == Names{kBob});
  CHECK(node.run(node.device_keys->between(alice, node.now(), node.now())).empty());
  CHECK(alice->device_list_pos < INT64_MAX);
}

TEST_CASE("a change of devices wakes who shares a room though its owner is not in memory") {
  Node node;
  const auto room = node.make_room(kAlice);
  node.member(room, kBob, "join");
  const auto alice = node.user(kAlice);
  CHECK(node.run(node.device_keys->between(alice, node.now() - 1, node.now())).changed == Names{kBob});
  REQUIRE(node.users->find(kBob) == nullptr);
  node.add_device(kBob, "B");
  CHECK(alice->last_pos == node.now());
  CHECK(alice->device_list_pos == node.now());
}

}  // namespace haechi::messenger::test
