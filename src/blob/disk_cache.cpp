#include "blob/disk_cache.hpp"

#include "base/log.hpp"
#include "blob/spool.hpp"

namespace haechi::blob {
namespace {

Task<void> remove_file(BlockingPool& pool, FileSystem& files, std::string path) {
  static_cast<void>(co_await pool.run([&files, path = std::move(path)] { return files.remove(path); }));
}

}  // namespace

Result<std::unique_ptr<DiskCache>> DiskCache::create(FileSystem& files, CacheOptions options) {
  for (const auto& dir : {options.root, options.root + "/tmp"}) TRY_DO(files.make_dir(dir));
  TRY(const auto left, files.list(options.root + "/tmp"));
  for (const auto& name : left) TRY_DO(files.remove(options.root + "/tmp/" + name));
  std::unique_ptr<DiskCache> cache(new DiskCache(files, std::move(options)));
  for (int byte = 0; byte < 256; ++byte) {
    Sha256 first{};
    first[0] = static_cast<std::uint8_t>(byte);
    const auto folder = cache->options_.root + '/' + to_hex(first).substr(0, 2);
    TRY_DO(files.make_dir(folder));
    TRY(const auto names, files.list(folder));
    for (const auto& name : names) {
      const auto id = sha256_from_hex(name);
      if (!id) continue;
      TRY(const auto bytes, files.size(folder + '/' + name));
      cache->entries_.push_front({.id = *id, .bytes = bytes});
      cache->by_id_.emplace(*id, cache->entries_.begin());
      cache->bytes_ += bytes;
    }
  }
  return cache;
}

std::string DiskCache::path_of(const Sha256& id) const {
  const auto hex = to_hex(id);
  return options_.root + '/' + hex.substr(0, 2) + '/' + hex;
}

Task<Result<FilePtr>> DiskCache::open(Sha256 id, BlockingPool& pool) {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) co_return FilePtr();
  entries_.splice(entries_.begin(), entries_, it->second);
  if (it->second->file) co_return it->second->file;
  // Files are not synced: after a power cut one may be there without its bytes.
  const bool check = !it->second->checked;
  auto opened = pool_answer(co_await pool.run([&files = files_, path = path_of(id), id, check]() -> Result<FilePtr> {
    TRY(const std::uint64_t size, files.size(path));
    TRY(const int fd, files.open_read(path));
    auto file = std::make_shared<const File>(fd, size);
    if (check) {
      TRY(const Sha256 sum, checksum(files, fd, size));
      if (sum != id) return fail(Errc::NotFound, "a cached copy is damaged");
    }
    return file;
  }));
  if (!opened && opened.error().is(Errc::Busy)) co_return opened;
  if (!opened) {
    remove(id, pool);
    co_return FilePtr();
  }
  if (const auto now = by_id_.find(id); now != by_id_.end()) {
    now->second->checked = true;
    if (!now->second->file) {
      now->second->file = *opened;
      ++open_;
      close_some();
    }
  }
  co_return opened;
}

void DiskCache::add(const Sha256& id, std::uint64_t bytes, FilePtr file, BlockingPool& pool) {
  if (const auto it = by_id_.find(id); it != by_id_.end()) {
    entries_.splice(entries_.begin(), entries_, it->second);
    return;
  }
  open_ += file != nullptr;
  entries_.push_front({.id = id, .bytes = bytes, .checked = true, .file = std::move(file)});
  by_id_.emplace(id, entries_.begin());
  bytes_ += bytes;
  close_some();
  shrink(pool);
}

void DiskCache::reserve(std::uint64_t bytes, BlockingPool& pool) {
  reserved_ += bytes;
  shrink(pool);
}

/// Who reads an evicted file has it open, and reads on.
void DiskCache::shrink(BlockingPool& pool) {
  while (bytes_ + reserved_ > options_.bytes_max && !entries_.empty()) remove(Sha256(entries_.back().id), pool);
}

void DiskCache::close_some() {
  // The open ones are near the front: those that were used last.
  for (auto it = entries_.rbegin(); open_ > options_.open_files_max && it != entries_.rend(); ++it) {
    if (it->file) {
      it->file.reset();
      --open_;
    }
  }
}

void DiskCache::remove(const Sha256& id, BlockingPool& pool) {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return;
  bytes_ -= it->second->bytes;
  open_ -= it->second->file != nullptr;
  auto path = path_of(id);
  entries_.erase(it->second);
  by_id_.erase(it);
  unlink(std::move(path), pool);
}

void DiskCache::unlink(std::string path, BlockingPool& pool) {
  scope_.spawn(remove_file(pool, files_, std::move(path)));
}

}  // namespace haechi::blob
