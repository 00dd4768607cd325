#include "blob/shared_store.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "blob/spool.hpp"

namespace haechi::blob {
namespace {

using contents::kSegmentBytes;
using contents::Place;

constexpr std::size_t kChunkMax = 512 * 1024;
constexpr std::size_t kChunkMin = 32 * 1024;
constexpr std::size_t kNameLength = 32;
constexpr std::size_t kLoadSegments = 8;  ///< by one job of the readers
constexpr std::size_t kLoadsMax = 2;      ///< of one content at the same time, so that others come between
constexpr std::size_t kCleanBatch = 100;
constexpr auto kAliveEvery = std::chrono::seconds(30);
constexpr std::size_t kSumBytes = std::tuple_size_v<Sha256>;

std::size_t segments_of(std::uint64_t bytes) {
  return static_cast<std::size_t>((bytes + kSegmentBytes - 1) / kSegmentBytes);
}

/// Hashes and writes what arrives, segment by segment.
class SegmentWriter {
 public:
  SegmentWriter(FileSystem& files, int fd, const Place& place, std::size_t first)
      : files_(files), fd_(fd), place_(place), segment_(first) {}

  Result<> take(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto start = segment_ * kSegmentBytes;
      const auto size = std::min(kSegmentBytes, place_.bytes - start);
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), size - in_segment_));
      TRY_DO(files_.write_at(fd_, bytes.substr(0, n), start + in_segment_));
      hash_.update(bytes.substr(0, n));
      in_segment_ += n;
      bytes.remove_prefix(n);
      if (in_segment_ < size) continue;
      const auto sum = hash_.finish();
      const auto expected = std::string_view(place_.segment_sums).substr(segment_ * kSumBytes, kSumBytes);
      if (expected != std::string_view(reinterpret_cast<const char*>(sum.data()), sum.size())) {
        return fail(Errc::Io, "a stored content is damaged");
      }
      ++segment_;
      in_segment_ = 0;
    }
    return {};
  }

 private:
  FileSystem& files_;
  const int fd_;
  const Place& place_;
  std::size_t segment_;
  std::uint64_t in_segment_ = 0;
  Sha256Stream hash_;
};

}  // namespace

/// A content on its way here, whole or in part. Any failure ends it: the next reader starts anew.
struct SharedBlobStore::Fetch {
  enum class Segment : std::uint8_t { Missing, Loading, Here };
  explicit Fetch(const Sha256& i) : id(i) {}

  const Sha256 id;
  bool located = false;  ///< from here on `place`, `path` and `file` are set
  bool complete = false;
  std::optional<Error> error;
  Place place;
  std::string path;
  FilePtr file;
  std::vector<Segment> segments;
  std::size_t here = 0;
  std::size_t loading = 0;
  std::size_t users = 0;
  std::uint64_t last_use = 0;
  std::vector<Waiter*> waiting;
};

SharedBlobStore::SharedBlobStore(Loop& loop, const Clock& clock, Random& random, FileSystem& files, Sessions& sessions,
                                 std::vector<std::unique_ptr<Keeper>> keepers, SharedOptions options)
    : loop_(loop),
      clock_(clock),
      random_(random),
      files_(files),
      sessions_(sessions),
      options_(std::move(options)),
      keepers_(std::move(keepers)),
      disk_(loop, "media cache", 2, options_.queue_max + options_.writes_max),
      reading_(loop, "media reader", options_.readers, options_.queue_max),
      writing_(loop, "media writer", options_.writers, options_.queue_max) {}

SharedBlobStore::~SharedBlobStore() = default;

Result<std::unique_ptr<SharedBlobStore>> SharedBlobStore::create(Loop& loop, const Clock& clock, Random& random,
                                                                 FileSystem& files, Sessions& sessions,
                                                                 std::vector<std::unique_ptr<Keeper>> keepers,
                                                                 SharedOptions options) {
  std::unique_ptr<SharedBlobStore> s(
      new SharedBlobStore(loop, clock, random, files, sessions, std::move(keepers), std::move(options)));
  TRY(s->cache_, DiskCache::create(files, s->options_.cache));
  return s;
}

Task<void> SharedBlobStore::stop() {
  co_await scope_.join();
  co_await cache_->stop();
}

std::size_t SharedBlobStore::chunk_bytes() const {
  return std::clamp(options_.buffers_bytes / (2 * std::max<std::size_t>(writes_, 1)), kChunkMin, kChunkMax);
}

Result<Keeper*> SharedBlobStore::keeper_of(const Place& place) const {
  for (const auto& k : keepers_) {
    if (k->kind() == place.keeper) return k.get();
  }
  return fail(Errc::Io, "the content is kept in a store that is not set up here: " + place.keeper);
}

// Writing.

Task<Result<Stored>> SharedBlobStore::put(ByteSource& source, std::uint64_t bytes_max) {
  if (const auto hint = source.size_hint(); hint && *hint > bytes_max) {
    co_return fail(Errc::TooLarge, "at most " + std::to_string(bytes_max) + " bytes are accepted");
  }
  if (writes_ >= options_.writes_max) co_return fail(Errc::Busy, "too many uploads at the same time");
  ++writes_;
  auto spool = std::make_shared<Spool>(files_, cache_->temp_path(), kSegmentBytes);
  auto filled = co_await Spool::fill(spool, disk_, source, bytes_max, [this] { return chunk_bytes(); });
  --writes_;
  if (!filled) {
    co_await Spool::drop(std::move(spool), disk_);
    co_return std::unexpected(std::move(filled.error()));
  }
  const Sha256 id = spool->finish();
  const auto bytes = spool->bytes();
  cache_->reserve(bytes, disk_);
  const auto existed = pool_answer(
      co_await writing_.run([this, spool, id, name = random_.text(kNameLength, "0123456789abcdef")]() -> Result<bool> {
        return store(*spool, id, name);
      }));
  cache_->release(bytes);
  if (!existed) {
    log::error("an upload could not be stored",
               {{"keeper", keepers_.front()->kind()}, {"why", existed.error().message}});
    co_await Spool::drop(std::move(spool), disk_);
    co_return std::unexpected(existed.error());
  }
  // The copy serves the first readers. That it could not stay is no failure of the upload.
  const auto kept = co_await disk_.run([spool, path = cache_->path_of(id)] { return spool->keep_as(path); });
  if (kept) cache_->add(id, bytes, nullptr, disk_);
  co_return Stored{.sha256 = id, .bytes = bytes, .existed = *existed};
}

/// True when the content was there already. Writer thread.
Result<bool> SharedBlobStore::store(Spool& spool, const Sha256& id, const std::string& name) {
  auto& keeper = *keepers_.front();
  const Place place{
      .bytes = spool.bytes(), .keeper = std::string(keeper.kind()), .name = name, .segment_sums = spool.segment_sums()};
  const auto now = [this] { return clock_.wall_ms(); };
  TRY(const bool existed,
      sessions_.run([&](store::Connection& c) -> Result<bool> { return contents::touch(c, id, now()); }));
  if (existed) return true;
  TRY_DO(sessions_.run([&](store::Connection& c) -> Result<> {
    contents::start(c, place, id, now());
    return {};
  }));
  auto told = std::chrono::steady_clock::now();
  const auto alive = [&]() -> Result<> {
    if (std::chrono::steady_clock::now() - told < kAliveEvery) return {};
    told = std::chrono::steady_clock::now();
    return sessions_.run([&](store::Connection& c) -> Result<> {
      if (contents::alive(c, name, now())) return {};
      return fail(haechi::Errc::Unavailable, "the upload stood still for too long");
    });
  };
  using contents::Published;
  auto published = [&]() -> Result<Published> {
    TRY_DO(keeper.write(name, {spool.files(), spool.fd(), place.bytes}, alive));
    return sessions_.run(
        [&](store::Connection& c) -> Result<Published> { return contents::publish(c, place, id, now()); });
  }();
  if (published == Published::Yes) return false;
  if (published == Published::Existed) {
    static_cast<void>(remove_name(place));  // else clean() does
    return true;
  }
  // Whatever was written is nobody's now. Where the database cannot be reached, the name will
  // be found by its age.
  if (published || !published.error().is(haechi::Errc::Unavailable)) {
    static_cast<void>(sessions_.run([&](store::Connection& c) -> Result<> {
      contents::start(c, place, id, now());
      contents::doom(c, name);
      return {};
    }));
  }
  if (published) return fail(haechi::Errc::Unavailable, "the upload stood still for too long");
  return std::unexpected(std::move(published.error()));
}

Result<> SharedBlobStore::remove_name(const Place& place) {
  TRY(auto* const keeper, keeper_of(place));
  TRY_DO(keeper->remove(place.name));
  return sessions_.run([&](store::Connection& c) -> Result<> {
    contents::forget(c, place.name);
    return {};
  });
}

Task<Result<bool>> SharedBlobStore::remove(Sha256 id, Confirm confirm) {
  const auto before = clock_.wall_ms() - options_.grace.count();
  const auto may = pool_answer(co_await writing_.run([this, id, before] {
    return sessions_.run([&](store::Connection& c) -> Result<bool> { return contents::may_retire(c, id, before); });
  }));
  if (!may) co_return std::unexpected(may.error());
  if (!*may) co_return fail(Errc::Busy, "the content was uploaded a moment ago");
  CO_TRY(const bool confirmed, co_await confirm());
  if (!confirmed) co_return false;
  cache_->remove(id, disk_);
  co_return pool_answer(co_await writing_.run([this, id, before]() -> Result<bool> {
    // The one decision that counts; between the question above and now another node may have
    // taken the content in use.
    TRY(const auto place, sessions_.run([&](store::Connection& c) -> Result<std::optional<Place>> {
      return contents::retire(c, id, before);
    }));
    if (!place) return false;
    TRY_DO(remove_name(*place));
    return true;
  }));
}

Task<Result<>> SharedBlobStore::clean() {
  const auto before = clock_.wall_ms() - options_.grace.count();
  co_return pool_answer(co_await writing_.run([this, before]() -> Result<> {
    TRY(const auto places, sessions_.run([&](store::Connection& c) -> Result<std::vector<Place>> {
      return contents::doomed(c, before, kCleanBatch);
    }));
    for (const auto& place : places) TRY_DO(remove_name(place));
    return {};
  }));
}

// Reading.

Task<Result<Place>> SharedBlobStore::locate(Sha256 id) {
  auto place = pool_answer(co_await reading_.run([this, id] {
    return sessions_.run([&](store::Connection& c) -> Result<std::optional<Place>> { return contents::find(c, id); });
  }));
  if (!place) co_return std::unexpected(std::move(place.error()));
  if (!*place) co_return fail(Errc::NotFound, "there is no such content");
  if ((*place)->segment_sums.size() != segments_of((*place)->bytes) * kSumBytes) {
    co_return fail(Errc::Io, "the index of stored contents is damaged: " + to_hex(id));
  }
  co_return *std::move(*place);
}

Task<Result<FilePtr>> SharedBlobStore::open(Sha256 id, Part part) {
  CO_TRY(FilePtr here, co_await cache_->open(id, disk_));
  if (here) co_return here;
  co_return co_await wait_for(fetch_of(id), part);
}

SharedBlobStore::FetchPtr SharedBlobStore::fetch_of(const Sha256& id) {
  if (const auto it = fetches_.find(id); it != fetches_.end()) return it->second;
  auto fetch = std::make_shared<Fetch>(id);
  fetches_.emplace(id, fetch);
  scope_.spawn(begin(fetch));
  return fetch;
}

Task<void> SharedBlobStore::begin(FetchPtr fetch) {
  auto place = co_await locate(fetch->id);
  if (!place) {
    fetch->error = std::move(place.error());
    co_return end(*fetch);
  }
  cache_->reserve(place->bytes, disk_);
  auto path = cache_->temp_path();
  auto fd = pool_answer(co_await disk_.run([this, path] { return files_.create(path); }));
  if (!fd) {
    cache_->release(place->bytes);
    fetch->error = std::move(fd.error());
    co_return end(*fetch);
  }
  fetch->place = *std::move(place);
  fetch->path = std::move(path);
  fetch->file = std::make_shared<const File>(*fd, fetch->place.bytes);
  fetch->segments.resize(segments_of(fetch->place.bytes), Fetch::Segment::Missing);
  fetch->located = true;
  limit_unfinished();
  if (fetch->segments.empty()) co_await complete(fetch);
  wake(*fetch);
}

Task<Result<FilePtr>> SharedBlobStore::wait_for(FetchPtr fetch, Part part) {
  using Segment = Fetch::Segment;
  ++fetch->users;
  fetch->last_use = ++uses_;
  Waiter waiter(loop_);
  fetch->waiting.push_back(&waiter);
  Result<FilePtr> out = fail(haechi::Errc::Unavailable, "the content could not be fetched in time");
  while (true) {
    if (fetch->error) {
      out = std::unexpected(*fetch->error);
      break;
    }
    if (fetch->complete) {
      out = fetch->file;
      break;
    }
    if (fetch->located) {
      const auto& all = fetch->segments;
      const auto size = fetch->place.bytes;
      const auto from = std::min(part.offset, size);
      const auto to = from + std::min(part.length, size - from);
      const auto first = static_cast<std::size_t>(from / kSegmentBytes);
      const auto last = segments_of(to);
      bool ready = true;
      for (auto at = first; at < last; ++at) {
        ready = ready && all[at] == Segment::Here;
        if (all[at] != Segment::Missing || fetch->loading >= kLoadsMax) continue;
        auto end_of_run = at + 1;
        while (end_of_run < std::min(last, at + kLoadSegments) && all[end_of_run] == Segment::Missing) ++end_of_run;
        std::fill(fetch->segments.begin() + static_cast<std::ptrdiff_t>(at),
                  fetch->segments.begin() + static_cast<std::ptrdiff_t>(end_of_run), Segment::Loading);
        ++fetch->loading;
        scope_.spawn(load(fetch, at, end_of_run - at));
      }
      // Of the whole, also the checksum of the whole has to be right.
      const bool whole = first == 0 && last == all.size();
      if (ready && !whole) {
        out = fetch->file;
        break;
      }
    }
    // Any progress renews the wait.
    if (co_await waiter.wait(loop_.now() + 2 * options_.patience) == Wake::Deadline) break;
  }
  --fetch->users;
  std::erase(fetch->waiting, &waiter);
  co_return out;
}

Result<> SharedBlobStore::load_blocking(const Fetch& fetch, std::size_t first, std::size_t count) {
  const auto& place = fetch.place;
  TRY(auto* const keeper, keeper_of(place));
  const auto from = first * kSegmentBytes;
  const auto length = std::min(count * kSegmentBytes, place.bytes - from);
  Result<> loaded;
  for (int attempt = 0; attempt < 2; ++attempt) {
    SegmentWriter writer(files_, fetch.file->fd(), place, first);
    loaded = keeper->read(place.name, from, length, [&](std::string_view bytes) { return writer.take(bytes); });
    // Once more where the damage may have happened on the way.
    if (loaded || !loaded.error().is(Errc::Io)) return loaded;
  }
  log::error("a stored content cannot be read", {{"sha256", to_hex(fetch.id)}, {"why", loaded.error().message}});
  return loaded;
}

Task<void> SharedBlobStore::load(FetchPtr fetch, std::size_t first, std::size_t count) {
  auto loaded =
      pool_answer(co_await reading_.run([this, fetch, first, count] { return load_blocking(*fetch, first, count); }));
  --fetch->loading;
  if (fetch->error) co_return;
  if (!loaded) {
    fetch->error = std::move(loaded.error());
    co_return end(*fetch);
  }
  std::fill_n(fetch->segments.begin() + static_cast<std::ptrdiff_t>(first), count, Fetch::Segment::Here);
  fetch->here += count;
  if (fetch->here == fetch->segments.size()) co_await complete(fetch);
  wake(*fetch);
}

Task<void> SharedBlobStore::complete(FetchPtr fetch) {
  auto done = pool_answer(co_await disk_.run([this, fetch, path = cache_->path_of(fetch->id)]() -> Result<> {
    TRY(const Sha256 sum, checksum(files_, fetch->file->fd(), fetch->place.bytes));
    if (sum != fetch->id) return fail(Errc::Io, "a stored content is damaged: " + to_hex(fetch->id));
    return files_.rename(fetch->path, path);
  }));
  if (!done) {
    fetch->error = std::move(done.error());
    co_return end(*fetch);
  }
  fetch->complete = true;
  fetches_.erase(fetch->id);
  cache_->release(fetch->place.bytes);
  cache_->add(fetch->id, fetch->place.bytes, fetch->file, disk_);
}

/// Nobody finds it any more. Who reads a part of it already has the file open.
void SharedBlobStore::end(Fetch& fetch) {
  if (const auto it = fetches_.find(fetch.id); it != fetches_.end() && it->second.get() == &fetch) fetches_.erase(it);
  if (fetch.located) {
    cache_->release(fetch.place.bytes);
    cache_->unlink(fetch.path, disk_);
  }
  wake(fetch);
}

void SharedBlobStore::wake(Fetch& fetch) {
  for (auto* w : fetch.waiting) w->notify();
}

void SharedBlobStore::limit_unfinished() {
  while (fetches_.size() > options_.unfinished_max || cache_->reserved() > options_.cache.bytes_max / 2) {
    FetchPtr oldest;
    for (const auto& [id, fetch] : fetches_) {
      const bool idle = fetch->located && fetch->users == 0 && fetch->loading == 0;
      if (idle && (!oldest || fetch->last_use < oldest->last_use)) oldest = fetch;
    }
    if (!oldest) return;
    end(*oldest);
  }
}

Task<Result<std::string>> SharedBlobStore::read(Sha256 id, std::uint64_t offset, std::size_t length) {
  CO_TRY(FilePtr file, co_await open(id, {offset, length}));
  co_return pool_answer(co_await disk_.run([this, file, offset, length]() -> Result<std::string> {
    if (offset >= file->size()) return std::string();
    std::string out(static_cast<std::size_t>(std::min<std::uint64_t>(length, file->size() - offset)), '\0');
    TRY(const std::size_t n, files_.read(file->fd(), out, offset));
    out.resize(n);
    return out;
  }));
}

Task<Result<std::uint64_t>> SharedBlobStore::stat(Sha256 id) {
  CO_TRY(const auto place, co_await locate(id));
  co_return place.bytes;
}

Task<Result<Condition>> SharedBlobStore::verify(Sha256 id) {
  const auto place = co_await locate(id);
  if (!place && place.error().is(Errc::NotFound)) co_return Condition::Missing;
  if (!place) co_return std::unexpected(place.error());
  auto condition = pool_answer(co_await reading_.run([this, id, place = *place]() -> Result<Condition> {
    TRY(auto* const keeper, keeper_of(place));
    auto found = Condition::Damaged;
    for (int attempt = 0; attempt < 2; ++attempt) {
      Sha256Stream hash;
      const auto read = keeper->read(place.name, 0, place.bytes, [&](std::string_view bytes) -> Result<> {
        hash.update(bytes);
        return {};
      });
      if (!read && !read.error().is(Errc::NotFound)) return std::unexpected(read.error());
      if (read && hash.finish() == id) return Condition::Good;
      found = read ? Condition::Damaged : Condition::Missing;
    }
    // Removed since it was looked up: then it is nobody's.
    TRY(const bool marked,
        sessions_.run([&](store::Connection& c) -> Result<bool> { return contents::set_damaged(c, id, place.name); }));
    return marked ? found : Condition::Missing;
  }));
  if (condition && *condition != Condition::Good) {
    log::error("a stored blob is lost", {{"sha256", to_hex(id)}, {"damaged", *condition == Condition::Damaged}});
  }
  co_return condition;
}

Task<Result<std::vector<Sha256>>> SharedBlobStore::list(std::uint8_t first_byte) {
  co_return pool_answer(co_await reading_.run([this, first_byte] {
    return sessions_.run(
        [&](store::Connection& c) -> Result<std::vector<Sha256>> { return contents::list(c, first_byte); });
  }));
}

}  // namespace haechi::blob
