#pragma once
// A new file that takes an upload as it arrives, hashed on the way.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/hash.hpp"
#include "base/pool.hpp"
#include "blob/byte_source.hpp"
#include "blob/error.hpp"
#include "blob/file_system.hpp"

namespace haechi::blob {

/// Touched by one pool job at a time. What is left of it when the last holder goes is
/// removed, unless the file was given a name of its own.
class Spool {
 public:
  /// `segment_bytes`: also the checksum of each piece of that size; 0: of the whole only.
  Spool(FileSystem& files, std::string path, std::uint64_t segment_bytes = 0);
  ~Spool() { discard(); }
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  /// Reads the source to its end; two chunks are in memory at most. Errors of the source come
  /// back unchanged; Errc::TooLarge past `bytes_max`. Loop thread.
  static Task<Result<>> fill(std::shared_ptr<Spool> spool, BlockingPool& pool, ByteSource& source,
                             std::uint64_t bytes_max, std::function<std::size_t()> chunk_bytes);
  /// Lets go of what was not kept, off the loop.
  static Task<void> drop(std::shared_ptr<Spool> spool, BlockingPool& pool);

  // Pool threads.

  Result<> append(std::string_view bytes);
  Result<> sync() { return files_.sync(fd_); }
  /// Gives the file its name; it stays.
  Result<> keep_as(const std::string& path);
  void discard();

  /// Of all that came. Call once, after fill().
  Sha256 finish();
  const std::string& path() const { return path_; }
  /// For reading back; closed with the spool, or when it is kept.
  int fd() const { return fd_; }
  FileSystem& files() { return files_; }
  std::uint64_t bytes() const { return bytes_; }
  /// One after the other, 32 bytes each. After finish().
  const std::string& segment_sums() const { return segment_sums_; }

 private:
  static Task<void> write_chunk(std::shared_ptr<Spool> spool, BlockingPool& pool, std::string chunk, Result<>& out);
  void close();
  void end_segment();

  FileSystem& files_;
  const std::string path_;
  const std::uint64_t segment_bytes_;
  std::optional<std::uint64_t> expected_;
  int fd_ = -1;
  bool created_ = false;
  std::uint64_t bytes_ = 0;
  Sha256Stream hash_;
  Sha256Stream segment_hash_;
  std::uint64_t in_segment_ = 0;
  std::string segment_sums_;
  std::string spare_;  ///< a written chunk's memory, for the next one
};

/// Errors of this module stay; what the pool says when it is full becomes ours.
template <class T>
Result<T> pool_answer(Result<T> r) {
  if (!r && r.error().is(haechi::Errc::Overloaded)) return fail(Errc::Busy, std::move(r.error().message));
  if (!r && r.error().is(haechi::Errc::Io)) return fail(Errc::Io, std::move(r.error().message));
  return r;
}

/// The checksum of an open file. Blocking.
Result<Sha256> checksum(FileSystem& files, int fd, std::uint64_t size);

}  // namespace haechi::blob
