#include "blob/local_store.hpp"

#include "blob/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::blob;
using namespace haechi::blob::test;

namespace {

struct Fixture {
  TempDir dir;
  ManualClock clock;
  ManualLoop loop{clock};
  std::unique_ptr<FileSystem> files = posix_file_system();
  std::string root = dir.path + "/media";
  std::unique_ptr<LocalBlobStore> store = LocalBlobStore::create(loop, *files, {.root = root}).value();

  Result<Stored> put(std::string bytes, std::size_t piece = 16 * 1024, std::uint64_t max = 1 << 30) {
    PieceSource source(std::move(bytes), piece);
    return loop.run(store->put(source, max));
  }
};

std::string noise(std::size_t n, std::uint64_t seed = 1) {
  SeededRandom random(seed);
  std::string out(n, '\0');
  random.fill({reinterpret_cast<std::uint8_t*>(out.data()), n});
  return out;
}

Task<void> put_into(LocalBlobStore& store, ByteSource& source, std::optional<Result<Stored>>& out) {
  out.emplace(co_await store.put(source, 1 << 30));
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "what is put comes back whole, whatever its size and pieces") {
  for (const std::size_t size : {0uz, 1uz, 1000uz, 524'288uz, 3'000'001uz}) {
    for (const std::size_t piece : {1000uz, 65'536uz, 700'000uz}) {
      const auto bytes = noise(size);
      const auto stored = put(bytes, piece);
      REQUIRE(stored);
      CHECK(stored->sha256 == sha256(bytes));
      CHECK(stored->bytes == size);
      CHECK(read_all(*loop.run(store->open(stored->sha256)).value()) == bytes);
      CHECK(loop.run(store->stat(stored->sha256)).value() == size);
      CHECK(loop.run(store->verify(stored->sha256)).value() == Condition::Good);
      CHECK(loop.run(store->read(stored->sha256, 10, 20)).value() == bytes.substr(std::min(size, 10uz), 20));
    }
  }
  CHECK(files_below(root + "/tmp") == 0);
  CHECK(files_below(root) == 5);
}

TEST_CASE_FIXTURE(Fixture, "a broken or too large upload leaves nothing") {
  CHECK(put(std::string(100, 'x'), 10, 99).error().is(blob::Errc::TooLarge));
  CHECK(put(noise(3'000'000), 65'536, 2'999'999).error().is(blob::Errc::TooLarge));
  PieceSource hinted("x", 10);
  hinted.hint = 1000;
  CHECK(loop.run(store->put(hinted, 999)).error().is(blob::Errc::TooLarge));
  PieceSource lost(noise(3'000'000), 65'536);
  lost.fail_at = 2'000'000;
  CHECK(loop.run(store->put(lost, 1 << 30)).error().is(haechi::Errc::Cancelled));
  PieceSource liar(std::string(2'000'000, 'x'), 65'536);  // says less than it sends
  liar.hint = 10;
  CHECK(loop.run(store->put(liar, 1 << 30)).value().bytes == 2'000'000);
  CHECK(files_below(root) == 1);
  CHECK(store->writes_under_way() == 0);
}

TEST_CASE_FIXTURE(Fixture, "the same content is stored once") {
  CHECK_FALSE(put("hello").value().existed);
  CHECK(put("hello").value().existed);
  CHECK(files_below(root) == 1);
}

TEST_CASE_FIXTURE(Fixture, "what a crash left half written is removed at the next start") {
  std::ofstream(root + "/tmp/17") << "half";
  REQUIRE(files_below(root) == 1);
  store = LocalBlobStore::create(loop, *files, {.root = root}).value();
  CHECK(files_below(root) == 0);
  CHECK(put("hello").has_value());
}

TEST_CASE_FIXTURE(Fixture, "too many writes at the same time are refused") {
  store = LocalBlobStore::create(loop, *files, {.root = root, .writes_max = 1}).value();
  Waiter hold(loop);
  PieceSource slow("slow", 10);
  slow.hold = &hold;
  std::optional<Result<Stored>> first;
  Scope scope;
  scope.spawn(put_into(*store, slow, first));
  CHECK(put("other").error().is(blob::Errc::Busy));
  hold.notify();
  loop.run_until([&] { return scope.running() == 0; });
  CHECK(first->has_value());
  CHECK(put("other").has_value());
}

TEST_CASE_FIXTURE(Fixture, "a pinned blob is not removed, and a writer waits for a removal") {
  auto stored = put("hello");
  const auto id = stored->sha256;
  const auto yes = []() -> Task<Result<bool>> { co_return true; };
  CHECK(loop.run(store->remove(id, yes)).error().is(blob::Errc::Busy));
  stored->pin.drop();

  Waiter asked(loop);
  PieceSource again("hello", 10);
  std::optional<Result<Stored>> second;
  Scope scope;
  const auto slowly = [&asked]() -> Task<Result<bool>> {
    co_await asked.wait(Instant::max());
    co_return true;
  };
  std::optional<Result<bool>> removed;
  const auto remove_into = [](LocalBlobStore& s, Sha256 which, BlobStore::Confirm confirm,
                              std::optional<Result<bool>>& out) -> Task<void> {
    out.emplace(co_await s.remove(which, std::move(confirm)));
  };
  scope.spawn(remove_into(*store, id, slowly, removed));
  scope.spawn(put_into(*store, again, second));
  for (int i = 0; i < 50 && store->writes_under_way() == 1; ++i) {
    loop.run_ready();
    std::this_thread::yield();
  }
  CHECK_FALSE(second);
  asked.notify();
  loop.run_until([&] { return scope.running() == 0; });
  CHECK(removed->value());
  REQUIRE(second->has_value());
  CHECK_FALSE((*second)->existed);
  CHECK(read_all(*loop.run(store->open(id)).value()) == "hello");
}

TEST_CASE_FIXTURE(Fixture, "a removal that is not confirmed keeps the blob") {
  const auto id = put("hello").value().sha256;
  const auto no = []() -> Task<Result<bool>> { co_return false; };
  CHECK_FALSE(loop.run(store->remove(id, no)).value());
  CHECK(loop.run(store->open(id)).has_value());
}

TEST_CASE_FIXTURE(Fixture, "a damaged file is noticed, set aside, and healed by the next upload") {
  const auto id = put("hello").value().sha256;
  std::ofstream(store->path_of(id), std::ios::trunc) << "hullo";
  const auto opened = loop.run(store->open(id));
  REQUIRE_FALSE(opened);
  CHECK(opened.error().is(blob::Errc::Io));
  CHECK(loop.run(store->verify(id)).value() == Condition::Damaged);
  CHECK(loop.run(store->open(id)).error().is(blob::Errc::NotFound));
  CHECK(loop.run(store->verify(id)).value() == Condition::Missing);
  CHECK_FALSE(put("hello").value().existed);
  CHECK(loop.run(store->verify(id)).value() == Condition::Good);
}

TEST_CASE_FIXTURE(Fixture, "stored blobs are listed by their first byte") {
  const auto id = put("hello").value().sha256;
  CHECK(loop.run(store->list(id[0])).value() == std::vector{id});
  CHECK(loop.run(store->list(static_cast<std::uint8_t>(id[0] + 1))).value().empty());
}
