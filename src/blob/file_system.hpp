#pragma once
// The few file operations that blobs need, behind a seam so that tests can make
// the n-th one fail. Blocking; any thread.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace haechi::blob {

/// All failures are blob Errc::Io, except open_read and size of what is not there: Errc::NotFound.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// True when it was made now; false when it was there.
  virtual Result<bool> make_dir(const std::string& path) = 0;
  /// A new file for writing and reading; the descriptor is the caller's.
  virtual Result<int> create(const std::string& path) = 0;
  /// Asks for room beforehand; a file system that cannot is no error.
  virtual Result<> reserve(int fd, std::uint64_t bytes) = 0;
  virtual Result<> write(int fd, std::string_view bytes) = 0;
  virtual Result<> write_at(int fd, std::string_view bytes, std::uint64_t offset) = 0;
  /// Content and size on stable storage.
  virtual Result<> sync(int fd) = 0;
  virtual Result<> rename(const std::string& from, const std::string& to) = 0;
  /// Names in the folder on stable storage.
  virtual Result<> sync_dir(const std::string& path) = 0;
  virtual Result<int> open_read(const std::string& path) = 0;
  virtual Result<std::uint64_t> size(const std::string& path) = 0;
  /// Fewer bytes than asked for only at the end of the file.
  virtual Result<std::size_t> read(int fd, std::span<char> into, std::uint64_t offset) = 0;
  virtual Result<> remove(const std::string& path) = 0;
  /// Names, without "." and ".."; empty when the folder is not there.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
  virtual void close(int fd) noexcept = 0;
};

std::unique_ptr<FileSystem> posix_file_system();

}  // namespace haechi::blob
