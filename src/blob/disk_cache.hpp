#pragma once
// Copies of contents on this machine's disk, so that what is kept elsewhere is fetched once and
// then served like a file. It may be deleted at any time while no node runs.

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/pool.hpp"
#include "blob/blob_store.hpp"
#include "blob/file_system.hpp"
#include "blob/types.hpp"

namespace haechi::blob {

struct CacheOptions {
  std::string root;                                     ///< DATA/cache
  std::uint64_t bytes_max = 4ull * 1024 * 1024 * 1024;  ///< what was not used for longest goes first
  std::size_t open_files_max = 256;
};

/// Loop thread only, but for the paths. Whole contents only, each under its checksum: half ones
/// stand in tmp/ and are nobody's after a start.
class DiskCache {
 public:
  /// Takes over what an earlier run left; it is checked before it is served. Blocks: start-up only.
  static Result<std::unique_ptr<DiskCache>> create(FileSystem& files, CacheOptions options);

  /// Null when it is not here. A copy that is damaged is removed and not found.
  Task<Result<FilePtr>> open(Sha256 id, BlockingPool& pool);
  /// A file that was moved to path_of(id). `file` may be null.
  void add(const Sha256& id, std::uint64_t bytes, FilePtr file, BlockingPool& pool);
  /// Room for a file that grows outside of the count, until released: evicts for it.
  void reserve(std::uint64_t bytes, BlockingPool& pool);
  void release(std::uint64_t bytes) { reserved_ -= bytes; }
  void remove(const Sha256& id, BlockingPool& pool);
  /// Of a file in tmp/ too.
  void unlink(std::string path, BlockingPool& pool);
  Task<void> stop() { co_await scope_.join(); }

  std::string path_of(const Sha256& id) const;
  std::string temp_path() { return options_.root + "/tmp/" + std::to_string(next_temp_++); }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t reserved() const { return reserved_; }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Sha256 id;
    std::uint64_t bytes = 0;
    bool checked = false;
    FilePtr file;  ///< open, of the most recent ones
  };
  using Entries = std::list<Entry>;

  DiskCache(FileSystem& files, CacheOptions options) : files_(files), options_(std::move(options)) {}
  void shrink(BlockingPool& pool);
  void close_some();

  FileSystem& files_;
  const CacheOptions options_;
  std::uint64_t next_temp_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t reserved_ = 0;
  Entries entries_;  ///< the most recently used first
  std::unordered_map<Sha256, Entries::iterator, Sha256Hash> by_id_;
  std::size_t open_ = 0;
  Scope scope_;  ///< removals
};

}  // namespace haechi::blob
