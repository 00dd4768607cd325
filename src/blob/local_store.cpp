#include "blob/local_store.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "blob/spool.hpp"

namespace haechi::blob {
namespace {

constexpr std::size_t kChunkMax = 512 * 1024;  // stays in the second-level cache from copy over hash to write
constexpr std::size_t kChunkMin = 32 * 1024;
constexpr auto kPinWait = std::chrono::seconds(30);

struct Descriptor {
  Descriptor(FileSystem& f, int n) : files(f), fd(n) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void close() {
    if (fd >= 0) files.close(std::exchange(fd, -1));
  }
  FileSystem& files;
  int fd;
};

}  // namespace

LocalBlobStore::LocalBlobStore(Loop& loop, FileSystem& files, LocalOptions options)
    : loop_(loop),
      files_(files),
      options_(std::move(options)),
      pool_(loop, "media", options_.threads, options_.queue_max) {}

LocalBlobStore::~LocalBlobStore() = default;

Result<std::unique_ptr<LocalBlobStore>> LocalBlobStore::create(Loop& loop, FileSystem& files, LocalOptions options) {
  const auto& root = options.root;
  for (const auto& dir : {root, root + "/tmp", root + "/damaged"}) TRY_DO(files.make_dir(dir));
  TRY_DO(files.sync_dir(root));
  // Nothing in tmp was acknowledged.
  TRY(const auto left, files.list(root + "/tmp"));
  for (const auto& name : left) TRY_DO(files.remove(root + "/tmp/" + name));
  return std::unique_ptr<LocalBlobStore>(new LocalBlobStore(loop, files, std::move(options)));
}

std::string LocalBlobStore::folder_of(const Sha256& id) const { return options_.root + '/' + to_hex(id).substr(0, 2); }

std::string LocalBlobStore::path_of(const Sha256& id) const { return folder_of(id) + '/' + to_hex(id); }

std::size_t LocalBlobStore::chunk_bytes() const {
  // Two chunks a write: one is written while the next one gathers.
  return std::clamp(options_.buffers_bytes / (2 * std::max<std::size_t>(writes_, 1)), kChunkMin, kChunkMax);
}

// Writing.

Task<Result<Stored>> LocalBlobStore::put(ByteSource& source, std::uint64_t bytes_max) {
  if (const auto hint = source.size_hint(); hint && *hint > bytes_max) {
    co_return fail(Errc::TooLarge, "at most " + std::to_string(bytes_max) + " bytes are accepted");
  }
  if (writes_ >= options_.writes_max) co_return fail(Errc::Busy, "too many uploads at the same time");
  ++writes_;
  auto spool = std::make_shared<Spool>(files_, options_.root + "/tmp/" + std::to_string(next_temp_++));
  auto stored = co_await put_open(source, bytes_max, spool);
  --writes_;
  if (!stored) co_await Spool::drop(std::move(spool), pool_);
  co_return stored;
}

Task<Result<Stored>> LocalBlobStore::put_open(ByteSource& source, std::uint64_t bytes_max,
                                              std::shared_ptr<Spool> spool) {
  CO_TRY_DO(co_await Spool::fill(spool, pool_, source, bytes_max, [this] { return chunk_bytes(); }));
  const Sha256 id = spool->finish();
  CO_TRY(Pin pinned, co_await pin(id));
  auto published = pool_answer(co_await pool_.run([this, spool, id] { return publish(*spool, id); }));
  if (!published) co_return std::unexpected(std::move(published.error()));
  co_return Stored{id, spool->bytes(), *published, std::move(pinned)};
}

/// True when the content was there already. Pool thread.
Result<bool> LocalBlobStore::publish(Spool& spool, const Sha256& id) {
  const auto folder = folder_of(id);
  const auto path = path_of(id);
  TRY_DO(make_parents(id));
  if (const auto there = files_.size(path); there && *there == spool.bytes()) {
    // Its writer may not have come to sync the folder yet, and this caller is told that it is safe.
    TRY_DO(files_.sync_dir(folder));
    spool.discard();
    return true;
  }
  TRY_DO(spool.sync());
  TRY_DO(spool.keep_as(path));
  TRY_DO(files_.sync_dir(folder));
  return false;
}

/// A folder counts once its own name is synced, whoever made it: a few syncs
/// too many after a start, none later.
Result<> LocalBlobStore::make_parents(const Sha256& id) {
  auto& durable = durable_folders_[id[0]];
  if (durable.load(std::memory_order_acquire)) return {};
  TRY_DO(files_.make_dir(folder_of(id)));
  TRY_DO(files_.sync_dir(options_.root));
  durable.store(true, std::memory_order_release);
  return {};
}

// Who uses a name.

Task<Result<Pin>> LocalBlobStore::pin(Sha256 id) {
  const auto deadline = loop_.now() + kPinWait;
  while (uses_[id].removing) {
    Waiter waiter(loop_);
    uses_[id].waiting.push_back(&waiter);
    const auto why = co_await waiter.wait(deadline);
    std::erase(uses_[id].waiting, &waiter);
    if (why != Wake::Signalled) co_return fail(Errc::Busy, "the same content is being removed");
  }
  ++uses_[id].pins;
  co_return Pin([this, id] { unpin(id); });
}

void LocalBlobStore::unpin(const Sha256& id) {
  const auto it = uses_.find(id);
  if (--it->second.pins == 0 && !it->second.removing && it->second.waiting.empty()) uses_.erase(it);
}

Task<Result<bool>> LocalBlobStore::remove(Sha256 id, Confirm confirm) {
  auto& use = uses_[id];  // stays in place: unordered_map keeps nodes, and `removing` keeps this one
  if (use.pins > 0 || use.removing) co_return fail(Errc::Busy, "the content is in use");
  use.removing = true;
  Result<bool> removed = false;
  auto confirmed = co_await confirm();
  if (!confirmed) {
    removed = std::unexpected(std::move(confirmed.error()));
  } else if (*confirmed) {
    forget(id);
    removed = pool_answer(co_await pool_.run([this, path = path_of(id)]() -> Result<bool> {
      TRY_DO(files_.remove(path));
      return true;
    }));
  }
  use.removing = false;
  for (auto* waiter : use.waiting) waiter->notify();
  if (use.pins == 0 && use.waiting.empty()) uses_.erase(id);
  co_return removed;
}

// Reading.

Task<Result<FilePtr>> LocalBlobStore::open(Sha256 id, Part) {
  if (const auto it = open_files_.find(id); it != open_files_.end()) {
    recent_.splice(recent_.begin(), recent_, it->second);
    co_return it->second->file;
  }
  auto file = pool_answer(co_await pool_.run([this, id]() -> Result<FilePtr> {
    const auto path = path_of(id);
    TRY(const std::uint64_t size, files_.size(path));
    TRY(const int fd, files_.open_read(path));
    Descriptor opened(files_, fd);
    if (size <= options_.verify_bytes_max) {
      TRY(const Sha256 sum, checksum(files_, fd, size));
      if (sum != id) return fail(Errc::Io, "the stored content is damaged: " + to_hex(id));
    }
    return std::make_shared<const File>(std::exchange(opened.fd, -1), size);
  }));
  if (file && !uses_.contains(id)) remember(id, *file);
  co_return file;
}

Task<Result<std::string>> LocalBlobStore::read(Sha256 id, std::uint64_t offset, std::size_t length) {
  CO_TRY(FilePtr file, co_await open(id, {}));
  co_return pool_answer(co_await pool_.run([this, file, offset, length]() -> Result<std::string> {
    if (offset >= file->size()) return std::string();
    std::string out(static_cast<std::size_t>(std::min<std::uint64_t>(length, file->size() - offset)), '\0');
    TRY(const std::size_t n, files_.read(file->fd(), out, offset));
    out.resize(n);
    return out;
  }));
}

Task<Result<std::uint64_t>> LocalBlobStore::stat(Sha256 id) {
  co_return pool_answer(co_await pool_.run([this, path = path_of(id)] { return files_.size(path); }));
}

Result<Condition> LocalBlobStore::check(const Sha256& id) {
  const auto path = path_of(id);
  auto size = files_.size(path);
  if (!size && size.error().is(Errc::NotFound)) return Condition::Missing;
  if (!size) return std::unexpected(std::move(size.error()));
  TRY(const int fd, files_.open_read(path));
  const Descriptor opened(files_, fd);
  TRY(const Sha256 sum, checksum(files_, fd, *size));
  if (sum == id) return Condition::Good;
  TRY_DO(files_.rename(path, options_.root + "/damaged/" + to_hex(id)));
  return Condition::Damaged;
}

Task<Result<Condition>> LocalBlobStore::verify(Sha256 id) {
  auto condition = pool_answer(co_await pool_.run([this, id] { return check(id); }));
  if (condition && *condition != Condition::Good) {
    forget(id);
    log::error("a stored blob is lost", {{"sha256", to_hex(id)}, {"damaged", *condition == Condition::Damaged}});
  }
  co_return condition;
}

Task<Result<std::vector<Sha256>>> LocalBlobStore::list(std::uint8_t first_byte) {
  Sha256 at{};
  at[0] = first_byte;
  co_return pool_answer(co_await pool_.run([this, folder = folder_of(at)]() -> Result<std::vector<Sha256>> {
    std::vector<Sha256> out;
    TRY(const auto names, files_.list(folder));
    for (const auto& one : names) {
      if (const auto id = sha256_from_hex(one)) out.push_back(*id);
    }
    return out;
  }));
}

void LocalBlobStore::remember(const Sha256& id, FilePtr file) {
  if (options_.open_files_max == 0 || open_files_.contains(id)) return;
  recent_.push_front({id, std::move(file)});
  open_files_.emplace(id, recent_.begin());
  if (recent_.size() > options_.open_files_max) {
    open_files_.erase(recent_.back().id);
    recent_.pop_back();
  }
}

void LocalBlobStore::forget(const Sha256& id) {
  if (const auto it = open_files_.find(id); it != open_files_.end()) {
    recent_.erase(it->second);
    open_files_.erase(it);
  }
}

}  // namespace haechi::blob
