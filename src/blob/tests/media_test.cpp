#include "blob/media.hpp"

#include <set>

#include "blob/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::blob;
using namespace haechi::blob::test;

namespace {

Task<void> open_into(Media& media, MediaId id, Duration timeout, Canceller* c, std::optional<Result<Opened>>& out) {
  out.emplace(co_await media.open(std::move(id), timeout, c));
}

const std::string kAlice = "@alice:hs";
const std::string kBob = "@bob:hs";

}  // namespace

TEST_CASE("an upload comes back with what its owner said about it, also after a restart") {
  TempDir dir;
  MediaId id;
  {
    Node node(dir.path);
    id = node.upload(kAlice, "hello", {"고양이.txt", "text/plain"}).value();
    CHECK(id.origin == "hs");
    CHECK(id.id.size() >= 24);
    CHECK(is_valid_media_id(id.id));
  }
  Node node(dir.path);
  for (int i = 0; i < 2; ++i) {  // the second comes from memory
    const auto got = node.loop.run(node.media->open(id, 0s));
    REQUIRE(got);
    CHECK(read_all(*node.loop.run(node.media->file(*got)).value()) == "hello");
    CHECK(got->record.owner == kAlice);
    CHECK(got->record.upload_name == "고양이.txt");
    CHECK(got->content_type == "text/plain");
    CHECK(got->sha256 == sha256("hello"));
    CHECK(got->record.state == State::Complete);
  }
  CHECK(node.content({"hs", "other"}).error().is(blob::Errc::NotFound));
  CHECK(node.content({"elsewhere", id.id}).error().is(blob::Errc::NotFound));
}

TEST_CASE("what cannot be stored about an upload is dropped") {
  TempDir dir;
  Node node(dir.path);
  const auto id = node.upload(kAlice, "x", {std::string("a\0b", 3), "text/\nplain"}).value();
  const auto record = node.loop.run(node.media->record(id)).value();
  CHECK(record.upload_name.empty());
  CHECK(record.content_type == "application/octet-stream");
}

TEST_CASE("a reserved id is filled once, by its owner, in time") {
  TempDir dir;
  Node node(dir.path);
  const auto reserved = node.loop.run(node.media->create_pending(kAlice)).value();
  CHECK(reserved.unused_expires_at == node.clock.wall_ms() + 24 * 3600 * 1000);
  CHECK(node.content(reserved.id).error().is(blob::Errc::NotYetUploaded));
  CHECK(node.upload_to(kBob, reserved.id, "x").error().is(blob::Errc::NotOwner));
  CHECK(node.upload_to(kAlice, {"hs", "nothing"}, "x").error().is(blob::Errc::NotFound));
  REQUIRE(node.upload_to(kAlice, reserved.id, "first"));
  CHECK(node.upload_to(kAlice, reserved.id, "second").error().is(blob::Errc::CannotOverwrite));
  CHECK(node.content(reserved.id).value() == "first");

  const auto late = node.loop.run(node.media->create_pending(kAlice)).value();
  node.loop.advance(24h);
  CHECK(node.upload_to(kAlice, late.id, "x").error().is(blob::Errc::Expired));
  CHECK(node.content(late.id, 10s).error().is(blob::Errc::NotFound));
  REQUIRE(node.loop.run(node.media->housekeep()));
  CHECK(node.loop.run(node.media->usage(kAlice)).value().pending == 0);
  CHECK(node.upload_to(kAlice, late.id, "x").error().is(blob::Errc::NotFound));
}

TEST_CASE("a user holds only so many unused reserved ids") {
  TempDir dir;
  Node node(dir.path, {.pending_per_user_max = 2});
  const auto first = node.loop.run(node.media->create_pending(kAlice)).value();
  REQUIRE(node.loop.run(node.media->create_pending(kAlice)));
  CHECK(node.loop.run(node.media->create_pending(kAlice)).error().is(blob::Errc::Busy));
  CHECK(node.loop.run(node.media->create_pending(kBob)).has_value());
  REQUIRE(node.upload_to(kAlice, first.id, "x"));
  CHECK(node.loop.run(node.media->create_pending(kAlice)).has_value());
}

TEST_CASE("a download waits for the upload, the deadline or its client") {
  TempDir dir;
  Node node(dir.path);
  const auto id = node.loop.run(node.media->create_pending(kAlice)).value().id;
  std::optional<Result<Opened>> got;
  Scope scope;
  Canceller canceller;
  scope.spawn(open_into(*node.media, id, 20s, &canceller, got));
  node.loop.run_until([&] { return node.loop.timers().size() > 0; });
  CHECK_FALSE(got);
  SUBCASE("upload") {
    REQUIRE(node.upload_to(kAlice, id, "hello"));
    node.loop.run_until([&] { return scope.running() == 0; });
    CHECK(read_all(*node.loop.run(node.media->file(got->value())).value()) == "hello");
  }
  SUBCASE("deadline") {
    node.loop.advance(20s);
    node.loop.run_until([&] { return scope.running() == 0; });
    CHECK(got->error().is(blob::Errc::NotYetUploaded));
  }
  SUBCASE("client") {
    canceller.cancel();
    node.loop.run_until([&] { return scope.running() == 0; });
    CHECK(got->error().is(haechi::Errc::Cancelled));
  }
  SUBCASE("deleted") {
    REQUIRE(node.loop.run(node.media->remove(id)));
    node.loop.run_until([&] { return scope.running() == 0; });
    CHECK(got->error().is(blob::Errc::NotFound));
  }
  SUBCASE("stop") {
    node.loop.run(node.media->stop());
    node.loop.run_until([&] { return scope.running() == 0; });
    CHECK(got->error().is(blob::Errc::NotYetUploaded));
  }
  CHECK(node.loop.timers().size() == 0);
}

TEST_CASE("limits of size and quota are kept and leave nothing behind") {
  TempDir dir;
  Node node(dir.path, {.upload_bytes_max = 1000, .user_bytes_max = 1500});
  CHECK(node.upload(kAlice, std::string(1001, 'x')).error().is(blob::Errc::TooLarge));
  const auto id = node.upload(kAlice, std::string(1000, 'x')).value();
  CHECK(node.upload(kAlice, std::string(501, 'y')).error().is(blob::Errc::QuotaExceeded));
  PieceSource unknown_size(std::string(501, 'y'), 100);
  CHECK(node.loop.run(node.media->upload(kAlice, {}, unknown_size)).error().is(blob::Errc::QuotaExceeded));
  CHECK(files_below(node.root) == 1);
  CHECK(node.upload(kBob, std::string(501, 'y')).has_value());
  const auto used = node.loop.run(node.media->usage(kAlice)).value();
  CHECK(used.bytes == 1000);
  CHECK(used.items == 1);
  REQUIRE(node.loop.run(node.media->remove(id)));
  CHECK(node.loop.run(node.media->usage(kAlice)).value().bytes == 0);
  CHECK(node.upload(kAlice, std::string(501, 'y')).has_value());
}

TEST_CASE("content lives as long as somebody refers to it") {
  TempDir dir;
  Node node(dir.path);
  const auto a = node.upload(kAlice, "same").value();
  const auto b = node.upload(kBob, "same").value();
  CHECK(files_below(node.root) == 1);
  REQUIRE(node.loop.run(node.media->remove(a)));
  REQUIRE(node.loop.run(node.media->housekeep()));
  CHECK(node.content(a).error().is(blob::Errc::NotFound));
  CHECK(node.content(b).value() == "same");
  REQUIRE(node.loop.run(node.media->remove(b)));
  node.loop.run_until([&] { return files_below(node.root) == 0; });
  CHECK(node.loop.run(node.media->remove(b)).error().is(blob::Errc::NotFound));
  CHECK(node.content(node.upload(kAlice, "same").value()).value() == "same");
}

TEST_CASE("quarantine is of the content, also of later uploads, and can be lifted") {
  TempDir dir;
  Node node(dir.path);
  const auto a = node.upload(kAlice, "bad").value();
  const auto b = node.upload(kBob, "bad").value();
  CHECK(node.content(b).has_value());
  REQUIRE(node.loop.run(node.media->quarantine(a, Quarantine::On)));
  const auto c = node.upload(kBob, "bad").value();
  for (const auto& id : {a, b, c}) CHECK(node.content(id).error().is(blob::Errc::Quarantined));
  CHECK(node.loop.run(node.media->thumbnail(a, {}, 0s)).error().is(blob::Errc::Quarantined));
  REQUIRE(node.loop.run(node.media->quarantine(b, Quarantine::Off)));
  for (const auto& id : {a, b, c}) CHECK(node.content(id).value() == "bad");
}

TEST_CASE("a user's media are listed in pages and purged by age") {
  TempDir dir;
  Node node(dir.path);
  std::vector<MediaId> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(node.upload(kAlice, "content " + std::to_string(i / 2)).value());
    if (i % 2) node.loop.advance(1s);
  }
  const auto kept = node.upload(kBob, "content 0").value();
  std::vector<std::string> seen;
  std::optional<std::string> from;
  for (int pages = 0; pages < 10; ++pages) {
    const auto page = node.loop.run(node.media->list(kAlice, 2, from)).value();
    for (const auto& r : page.records) seen.push_back(r.id.id);
    from = page.next;
    if (!from) break;
  }
  CHECK(seen.size() == 5);
  CHECK(std::set(seen.begin(), seen.end()).size() == 5);
  CHECK(seen.front() == ids.back().id);
  CHECK(node.loop.run(node.media->list(kAlice, 2, "nonsense")).error().is(haechi::Errc::Invalid));

  CHECK(node.loop.run(node.media->purge(node.clock.wall_ms(), kAlice)).value() == 4);
  CHECK(node.content(ids[4]).has_value());
  CHECK(node.content(kept).value() == "content 0");
  node.loop.advance(1s);
  CHECK(node.loop.run(node.media->purge(node.clock.wall_ms(), std::nullopt)).value() == 2);
  CHECK(files_below(node.root) == 0);
}

TEST_CASE("scrubbing goes round and finds damage") {
  TempDir dir;
  Node node(dir.path);
  for (int i = 0; i < 5; ++i) REQUIRE(node.upload(kAlice, "content " + std::to_string(i)));
  std::ofstream(node.blobs->path_of(sha256("content 3")), std::ios::trunc) << "contend 3";
  std::filesystem::remove(node.blobs->path_of(sha256("content 4")));
  ScrubReport sum;
  for (int i = 0; i < 3; ++i) {
    const auto r = node.loop.run(node.media->scrub(2)).value();
    sum.checked += r.checked;
    sum.damaged += r.damaged;
    sum.missing += r.missing;
  }
  CHECK(sum.checked == 5);
  CHECK(sum.damaged == 1);
  CHECK(sum.missing == 1);
  CHECK(node.loop.run(node.media->scrub(10)).value().checked == 5);
}

TEST_CASE("a file that nobody refers to is swept") {
  TempDir dir;
  Node node(dir.path);
  REQUIRE(node.upload(kAlice, "kept"));
  StringSource orphan("orphan");
  REQUIRE(node.loop.run(node.blobs->put(orphan, 100)));
  CHECK(files_below(node.root) == 2);
  for (int i = 0; i < 256; ++i) REQUIRE(node.loop.run(node.media->housekeep()));
  CHECK(files_below(node.root) == 1);
}
