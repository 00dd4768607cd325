#include "messenger/errc.hpp"
#include "messenger/keys/tests/fixture.hpp"

namespace haechi::messenger::test {
namespace {

repo::BackupSessionRow session(std::int64_t first, std::int64_t forwarded, bool verified, std::string room = "!r",
                               std::string id = "s") {
  return {.room_id = std::move(room),
          .session_id = std::move(id),
          .first_message_index = first,
          .forwarded_count = forwarded,
          .is_verified = verified,
          .session_data = "{}"};
}

}  // namespace

TEST_CASE("which of two sessions a backup keeps") {
  struct Case {
    repo::BackupSessionRow fresh, stored;
    bool replaced;
  };
  const Case cases[] = {
      {session(10, 5, false), session(10, 5, false), false}, {session(9, 9, false), session(10, 5, false), true},
      {session(11, 0, false), session(10, 5, false), false}, {session(10, 4, false), session(10, 5, false), true},
      {session(10, 6, false), session(10, 5, false), false}, {session(50, 50, true), session(1, 1, false), true},
      {session(1, 1, false), session(50, 50, true), false},  {session(49, 60, true), session(50, 50, true), true},
  };
  for (const auto& c : cases) CHECK(replaces(c.fresh, c.stored) == c.replaced);
}

TEST_CASE("a backup counts its sessions and its etag moves with every change and only then") {
  Node node;
  auto& backup = *node.backup;
  CHECK(node.error_of(backup.info(kAlice, std::nullopt)).is(Errc::NotFound));
  CHECK(node.run(backup.create(kAlice, "alg", "{}")) == 1);
  auto c = node.run(
      backup.put(kAlice, "1", {session(1, 1, false), session(1, 1, false, "!r", "t"), session(1, 1, false, "!q")}));
  CHECK(c.count == 3);
  CHECK(c.etag == 1);
  c = node.run(backup.put(kAlice, "1", {session(2, 1, false)}));
  CHECK(c.etag == 1);
  c = node.run(backup.put(kAlice, "1", {session(0, 1, false)}));
  CHECK(c.count == 3);
  CHECK(c.etag == 2);
  CHECK(node.run(backup.get(kAlice, "1", {})).size() == 3);
  CHECK(node.run(backup.get(kAlice, "1", {"!r", ""})).size() == 2);
  CHECK(node.run(backup.get(kAlice, "1", {"!r", "s"})).front().first_message_index == 0);
  CHECK(node.run(backup.erase(kAlice, "1", {"!r", "s"})).count == 2);
  CHECK(node.run(backup.erase(kAlice, "1", {"!r", "s"})).etag == 3);
  CHECK(node.run(backup.erase(kAlice, "1", {})).count == 0);
  CHECK(node.run(backup.info(kAlice, "1")).etag == 4);
}

TEST_CASE("only the current version takes sessions; deleted ones are gone but their number stays taken") {
  Node node;
  auto& backup = *node.backup;
  CHECK(node.error_of(backup.put(kAlice, "1", {})).is(Errc::NotFound));
  node.run(backup.create(kAlice, "alg", "{}"));
  node.run(backup.create(kAlice, "alg", "{}"));
  const auto wrong = node.error_of(backup.put(kAlice, "1", {}));
  CHECK(wrong.is(Errc::WrongRoomKeysVersion));
  CHECK(wrong.detail == R"("current_version":"2")");
  CHECK(node.error_of(backup.put(kAlice, "9", {})).is(Errc::NotFound));
  CHECK(node.error_of(backup.put(kBob, "2", {})).is(Errc::NotFound));
  CHECK(node.error_of(backup.update(kAlice, "2", "other", "{}")).is(Errc::InvalidParam));
  CHECK(node.error_of(backup.update(kAlice, "nine", "alg", "{}")).is(Errc::NotFound));
  node.run(backup.put(kAlice, "2", {session(1, 1, false)}));
  must(node.loop.run(backup.remove(kAlice, "2")));
  must(node.loop.run(backup.remove(kAlice, "2")));
  CHECK(node.error_of(backup.remove(kAlice, "9")).is(Errc::NotFound));
  CHECK(node.run(backup.info(kAlice, std::nullopt)).version == 1);
  CHECK(node.error_of(backup.get(kAlice, "2", {})).is(Errc::NotFound));
  CHECK(node.run(backup.create(kAlice, "alg", "{}")) == 3);
}

}  // namespace haechi::messenger::test
