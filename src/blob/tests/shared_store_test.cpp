#include "blob/shared_store.hpp"

#include <semaphore>

#include "blob/database_keeper.hpp"
#include "blob/tests/engines.hpp"
#include "blob/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::blob;
using namespace haechi::blob::test;

namespace {

constexpr std::size_t kMiB = 1024 * 1024;
constexpr store::Sql kCountRows{"SELECT count(*) FROM blob_rows"};
constexpr store::Sql kCountNames{"SELECT count(*) FROM blob_names"};
constexpr store::Sql kDamage{"UPDATE blob_rows SET bytes = $1 WHERE number = $2"};
constexpr store::Sql kRefer{"INSERT INTO blobs (sha256, bytes, refs, quarantined, created_ms) VALUES ($1, 1, 1, 0, 0)"};

std::string noise(std::size_t n, std::uint64_t seed = 1) {
  SeededRandom random(seed);
  std::string out(n, '\0');
  random.fill({reinterpret_cast<std::uint8_t*>(out.data()), n});
  return out;
}

/// Passes on to the database's keeper until the n-th call; counts what is read.
class TestKeeper final : public Keeper {
 public:
  TestKeeper(Loop& loop, Sessions& sessions) : loop_(loop), real_(sessions) {}
  std::string_view kind() const override { return "database"; }
  Result<> write(const std::string& name, const Original& from, const Alive& alive) override {
    if (fail_writes > 0) {
      --fail_writes;
      // As one that breaks in its midst.
      static_cast<void>(real_.write(name, {from.files, from.fd, std::min<std::uint64_t>(from.bytes, kMiB)}, alive));
      return fail(haechi::Errc::Unavailable, "injected");
    }
    if (hold_writes) {
      loop_.post([this] { holding = true; });
      go_on.acquire();
    }
    return real_.write(name, from, alive);
  }
  Result<> read(const std::string& name, std::uint64_t offset, std::uint64_t length, const Sink& sink) override {
    ++reads;
    if (fail_reads.fetch_sub(1) > 0) return fail(haechi::Errc::Unavailable, "injected");
    bytes_read += length;
    return real_.read(name, offset, length, sink);
  }
  Result<> remove(const std::string& name) override { return real_.remove(name); }

  std::atomic<int> reads{0};
  std::atomic<int> fail_reads{0};
  std::atomic<int> fail_writes{0};
  std::atomic<std::uint64_t> bytes_read{0};
  std::atomic<bool> hold_writes{false};
  bool holding = false;  // loop
  std::binary_semaphore go_on{0};

 private:
  Loop& loop_;
  DatabaseKeeper real_;
};

Task<void> put_into(SharedBlobStore& store, ByteSource& source, std::optional<Result<Stored>>& out) {
  out.emplace(co_await store.put(source, 1 << 30));
}

/// A node of several on one database.
struct SharedNode {
  SharedNode(store::Database& db, ManualClock& c, const std::string& dir, std::uint64_t cache_bytes = 1 << 30)
      : clock(c), sessions(db, 1s), random(SystemRandom().u64()) {
    auto keeper_made = std::make_unique<TestKeeper>(loop, sessions);
    keeper = keeper_made.get();
    std::vector<std::unique_ptr<Keeper>> keepers;
    keepers.push_back(std::move(keeper_made));
    store = SharedBlobStore::create(loop, clock, random, *files, sessions, std::move(keepers),
                                    {.cache = {.root = dir, .bytes_max = cache_bytes}})
                .value();
  }
  ~SharedNode() { loop.run(store->stop()); }

  Result<Stored> put(std::string bytes) {
    PieceSource source(std::move(bytes), 100'000);
    return loop.run(store->put(source, 1 << 30));
  }
  /// As put(), with something that happens while the keeper is about to write.
  Result<Stored> put_while(std::string bytes, const std::function<void()>& happens) {
    StringSource source(std::move(bytes));
    std::optional<Result<Stored>> out;
    Scope scope;
    keeper->hold_writes = true;
    scope.spawn(put_into(*store, source, out));
    loop.run_until([&] { return keeper->holding; });
    happens();
    keeper->hold_writes = false;
    keeper->go_on.release();
    loop.run_until([&] { return scope.running() == 0; });
    return *std::move(out);
  }
  Result<std::string> get(const Sha256& id) {
    TRY(const auto file, loop.run(store->open(id)));
    return read_all(*file);
  }
  Result<std::string> get(const Sha256& id, std::size_t offset, std::size_t length) {
    return loop.run(store->read(id, offset, length));
  }
  Result<bool> remove(const Sha256& id, bool confirmed = true) {
    return loop.run(store->remove(id, [confirmed]() -> Task<Result<bool>> { co_return confirmed; }));
  }

  ManualClock& clock;
  ManualLoop loop{clock};
  std::unique_ptr<FileSystem> files = posix_file_system();
  Sessions sessions;
  SeededRandom random;
  TestKeeper* keeper = nullptr;
  std::unique_ptr<SharedBlobStore> store;
};

struct Platform {
  explicit Platform(const std::string& engine) : db(fresh_database(engine, dir.path)) {
    REQUIRE(store::migrate(*db, Media::migrations()).has_value());
    REQUIRE(DatabaseKeeper::prepare(*db).has_value());
    admin = db->connect(store::Access::ReadWrite);
  }
  std::int64_t count(const store::Sql& sql) { return admin->one_i64(sql).value(); }

  TempDir dir;
  ManualClock clock;
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Connection> admin;
  SharedNode a{*db, clock, dir.path + "/a"};
  SharedNode b{*db, clock, dir.path + "/b"};
};

/// The body of a test, once an engine.
template <class F>
void on_every_engine(F f) {
  for (const auto& engine : engines()) {
    CAPTURE(engine);
    Platform p(engine);
    f(p);
  }
}

}  // namespace

TEST_CASE("what one node puts another reads, whatever its size") {
  on_every_engine([](Platform& p) {
    for (const std::size_t size : {0uz, 1uz, 1000uz, 256uz * 1024, kMiB - 1, kMiB, kMiB + 1, 20 * kMiB + 7}) {
      CAPTURE(size);
      const auto bytes = noise(size);
      const auto stored = p.a.put(bytes);
      REQUIRE(stored);
      CHECK(stored->sha256 == sha256(bytes));
      CHECK(stored->bytes == size);
      CHECK_FALSE(stored->existed);
      CHECK(p.a.get(stored->sha256).value() == bytes);
      CHECK(p.a.keeper->reads == 0);  // its own disk has it
      CHECK(p.b.get(stored->sha256).value() == bytes);
      CHECK(p.b.loop.run(p.b.store->stat(stored->sha256)).value() == size);
      CHECK(p.b.loop.run(p.b.store->verify(stored->sha256)).value() == Condition::Good);
      CHECK(p.b.put(bytes).value().existed);
      p.a.keeper->reads = 0;
    }
    CHECK(p.count(kCountNames) == 0);
    CHECK(files_below(p.dir.path + "/a/tmp") == 0);
    CHECK(files_below(p.dir.path + "/b/tmp") == 0);
    CHECK(p.b.store->unfinished() == 0);
  });
}

TEST_CASE("a part of a large content is shown before the rest is here") {
  on_every_engine([](Platform& p) {
    const auto bytes = noise(40 * kMiB);
    const auto id = p.a.put(bytes).value().sha256;
    CHECK(p.b.get(id, 30 * kMiB, 1000).value() == bytes.substr(30 * kMiB, 1000));
    CHECK(p.b.keeper->bytes_read == kMiB);
    CHECK(p.b.get(id, 30 * kMiB + 5, 1000).value() == bytes.substr(30 * kMiB + 5, 1000));
    CHECK(p.b.keeper->bytes_read == kMiB);
    CHECK(p.b.get(id, kMiB - 10, 20).value() == bytes.substr(kMiB - 10, 20));
    CHECK(p.b.keeper->bytes_read == 3 * kMiB);
    CHECK(p.b.get(id, 40 * kMiB - 3, 20).value() == bytes.substr(40 * kMiB - 3));
    CHECK(p.b.get(id, 40 * kMiB, 20).value().empty());
    CHECK(p.b.store->unfinished() == 1);
    CHECK(p.b.get(id).value() == bytes);
    CHECK(p.b.keeper->bytes_read == 40 * kMiB);  // nothing twice
    CHECK(p.b.store->unfinished() == 0);
  });
}

TEST_CASE("many who open the same content at once share one fetch") {
  on_every_engine([](Platform& p) {
    const auto bytes = noise(12 * kMiB);
    const auto id = p.a.put(bytes).value().sha256;
    const auto open_into = [](SharedBlobStore& s, Sha256 which, int& good) -> Task<void> {
      const auto file = co_await s.open(which);
      good += file.has_value();
    };
    Scope scope;
    int good = 0;
    for (int i = 0; i < 20; ++i) scope.spawn(open_into(*p.b.store, id, good));
    p.b.loop.run_until([&] { return scope.running() == 0; });
    CHECK(good == 20);
    CHECK(p.b.keeper->bytes_read == bytes.size());
  });
}

TEST_CASE("a damaged content is not served, and the next upload heals it") {
  on_every_engine([](Platform& p) {
    const auto bytes = noise(3 * kMiB);
    const auto id = p.a.put(bytes).value().sha256;
    p.admin->exec(kDamage, store::Blob{std::string_view(bytes).substr(0, 256 * 1024)}, 5);
    CHECK(p.b.get(id, 0, 10).value() == bytes.substr(0, 10));  // this part is good
    CHECK(p.b.get(id, kMiB, 10).error().is(blob::Errc::Io));
    CHECK(p.b.get(id).error().is(blob::Errc::Io));
    CHECK(p.b.loop.run(p.b.store->verify(id)).value() == Condition::Damaged);
    CHECK(p.b.get(id).error().is(blob::Errc::NotFound));
    CHECK(p.b.loop.run(p.b.store->verify(id)).value() == Condition::Missing);
    CHECK_FALSE(p.b.put(bytes).value().existed);
    REQUIRE(p.a.loop.run(p.a.store->clean()));
    CHECK(p.count(kCountRows) == 12);  // those of the damaged one are gone
    CHECK(p.b.loop.run(p.b.store->verify(id)).value() == Condition::Good);
  });
}

TEST_CASE("a copy in the cache that the disk damaged is fetched again") {
  Platform p("sqlite");
  const auto bytes = noise(100'000);
  const auto id = p.a.put(bytes).value().sha256;
  const auto path = p.dir.path + "/c/" + to_hex(id).substr(0, 2) + '/' + to_hex(id);
  for (const auto* kind : {"damaged", "empty", "gone"}) {
    CAPTURE(kind);
    {
      SharedNode node(*p.db, p.clock, p.dir.path + "/c");
      CHECK(node.get(id).value() == bytes);
      CHECK(node.keeper->reads == 1);
      CHECK(node.get(id).value() == bytes);
      CHECK(node.keeper->reads == 1);
    }
    SharedNode again(*p.db, p.clock, p.dir.path + "/c");
    CHECK(again.get(id).value() == bytes);
    CHECK(again.keeper->reads == 0);
    if (kind == std::string_view("gone")) std::filesystem::remove(path);
    else std::ofstream(path, std::ios::trunc) << (kind == std::string_view("empty") ? "" : "other");
  }
}

TEST_CASE("the cache holds what was used last") {
  Platform p("sqlite");
  std::vector<Sha256> ids;
  for (std::uint64_t n = 0; n < 6; ++n) ids.push_back(p.a.put(noise(kMiB, n)).value().sha256);
  SharedNode node(*p.db, p.clock, p.dir.path + "/c", 3 * kMiB);
  for (const auto& id : ids) REQUIRE(node.get(id));
  CHECK(node.store->cache().bytes() <= 3 * kMiB);
  node.loop.run_until([&] { return files_below(p.dir.path + "/c") <= 3; });
  CHECK(node.keeper->reads == 6);
  REQUIRE(node.get(ids[5]));
  CHECK(node.keeper->reads == 6);
  REQUIRE(node.get(ids[0]));
  CHECK(node.keeper->reads == 7);
}

TEST_CASE("an upload that fails leaves nothing that stays") {
  on_every_engine([](Platform& p) {
    p.a.keeper->fail_writes = 1;
    CHECK(p.a.put(noise(3 * kMiB)).error().is(haechi::Errc::Unavailable));
    CHECK(p.count(kCountRows) == 4);
    PieceSource lost(noise(3 * kMiB), 65'536);
    lost.fail_at = 2 * kMiB;
    CHECK(p.a.loop.run(p.a.store->put(lost, 1 << 30)).error().is(haechi::Errc::Cancelled));
    CHECK(p.a.loop
              .run([](SharedBlobStore& s) -> Task<Result<Stored>> {
                PieceSource large(noise(3 * kMiB), 65'536);
                co_return co_await s.put(large, 3 * kMiB - 1);
              }(*p.a.store))
              .error()
              .is(blob::Errc::TooLarge));
    p.a.loop.run_until([&] { return files_below(p.dir.path + "/a") == 0; });
    // Another node removes it once nobody can be writing it any more.
    REQUIRE(p.b.loop.run(p.b.store->clean()));
    CHECK(p.count(kCountRows) == 4);
    p.clock.advance(16min);
    REQUIRE(p.b.loop.run(p.b.store->clean()));
    CHECK(p.count(kCountRows) == 0);
    CHECK(p.count(kCountNames) == 0);
  });
}

TEST_CASE("a writer that stood still for so long that its name was taken from it publishes nothing") {
  on_every_engine([](Platform& p) {
    const auto bytes = noise(2 * kMiB);
    const auto stored = p.a.put_while(bytes, [&] {
      p.clock.advance(16min);
      CHECK(p.b.loop.run(p.b.store->clean()).has_value());
    });
    CHECK(stored.error().is(haechi::Errc::Unavailable));
    CHECK(p.b.get(sha256(bytes)).error().is(blob::Errc::NotFound));
    REQUIRE(p.b.loop.run(p.b.store->clean()));
    CHECK(p.count(kCountRows) == 0);
    CHECK(p.count(kCountNames) == 0);
  });
}

TEST_CASE("two nodes that store the same content at once keep one") {
  on_every_engine([](Platform& p) {
    const auto bytes = noise(2 * kMiB);
    const auto stored = p.a.put_while(bytes, [&] { CHECK_FALSE(p.b.put(bytes).value().existed); });
    CHECK(stored.value().existed);
    CHECK(p.count(kCountRows) == 8);
    CHECK(p.count(kCountNames) == 0);
  });
}

TEST_CASE("no node removes what another is about to refer to") {
  on_every_engine([](Platform& p) {
    const auto id = p.a.put("hello").value().sha256;
    CHECK(p.b.remove(id).error().is(blob::Errc::Busy));
    p.clock.advance(16min);
    CHECK_FALSE(p.b.remove(id, false).value());
    CHECK(p.a.put("hello").value().existed);  // uploaded again: touched
    CHECK(p.b.remove(id).error().is(blob::Errc::Busy));
    p.clock.advance(16min);
    // Taken in use between the question and the removal.
    const auto meanwhile = [&]() -> Task<Result<bool>> {
      p.admin->exec(kRefer, to_hex(id));
      co_return true;
    };
    CHECK_FALSE(p.b.loop.run(p.b.store->remove(id, meanwhile)).value());
    CHECK(p.b.get(id).value() == "hello");
    p.admin->script("DELETE FROM blobs");
    CHECK(p.b.remove(id).value());
    CHECK(p.b.get(id).error().is(blob::Errc::NotFound));
    CHECK(p.count(kCountRows) == 0);
    CHECK(p.count(kCountNames) == 0);
    CHECK_FALSE(p.a.put("hello").value().existed);
  });
}

TEST_CASE("when where it is kept cannot be reached a reader is told so, and the next one tries again") {
  on_every_engine([](Platform& p) {
    const auto bytes = noise(5 * kMiB);
    const auto id = p.a.put(bytes).value().sha256;
    p.b.keeper->fail_reads = 1;
    CHECK(p.b.get(id).error().is(haechi::Errc::Unavailable));
    p.b.loop.run_until([&] { return p.b.store->unfinished() == 0; });
    CHECK(p.b.get(id).value() == bytes);
  });
}

TEST_CASE("contents are listed by their first byte") {
  on_every_engine([](Platform& p) {
    std::map<std::uint8_t, std::size_t> expected;
    for (int i = 0; i < 300; ++i) ++expected[p.a.put("content " + std::to_string(i)).value().sha256[0]];
    for (const int byte : {0x00, 0x09, 0x0f, 0x10, 0x7f, 0x9f, 0xa0, 0xfe, 0xff}) {
      const auto first = static_cast<std::uint8_t>(byte);
      CHECK(p.b.loop.run(p.b.store->list(first)).value().size() == expected[first]);
    }
  });
}
