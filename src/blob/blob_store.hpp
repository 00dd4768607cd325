#pragma once
// Where the bytes are: the port between media and the places that keep files.

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "base/hash.hpp"
#include "base/result.hpp"
#include "base/task.hpp"
#include "blob/byte_source.hpp"
#include "blob/error.hpp"

namespace haechi::blob {

/// An open blob; closes with its last holder. Its content never changes. Read
/// with pread() or sendfile() and an offset: the file position is shared.
class File {
 public:
  File(int fd, std::uint64_t size) : fd_(fd), size_(size) {}
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  std::uint64_t size() const { return size_; }
  /// A second descriptor that the caller closes; -1 when the process has too many.
  int duplicate() const;

 private:
  int fd_;
  std::uint64_t size_;
};
using FilePtr = std::shared_ptr<const File>;

/// While it lives the blob is not removed. Loop thread only; may be empty.
class Pin {
 public:
  Pin() = default;
  explicit Pin(std::move_only_function<void()> release) : release_(std::move(release)) {}
  Pin(Pin&& other) noexcept : release_(std::exchange(other.release_, nullptr)) {}
  Pin& operator=(Pin&& other) noexcept {
    drop();
    release_ = std::exchange(other.release_, nullptr);
    return *this;
  }
  ~Pin() { drop(); }
  void drop() {
    if (auto r = std::exchange(release_, nullptr)) r();
  }

 private:
  std::move_only_function<void()> release_;
};

struct Stored {
  Sha256 sha256{};
  std::uint64_t bytes = 0;
  bool existed = false;
  Pin pin;  ///< hold it until the reference is recorded
};

enum class Condition { Good, Damaged, Missing };

/// What a reader is going to look at.
struct Part {
  std::uint64_t offset = 0;
  std::uint64_t length = std::numeric_limits<std::uint64_t>::max();  ///< to the end
};

/// Content-addressed. Loop thread only. Failures of the disk are Errc::Io.
class BlobStore {
 public:
  virtual ~BlobStore() = default;

  /// Answers once the content is on stable storage under its name. Errors of the
  /// source come back unchanged; Errc::TooLarge past `bytes_max`; Errc::Busy when
  /// too many writes are under way.
  virtual Task<Result<Stored>> put(ByteSource& source, std::uint64_t bytes_max) = 0;
  /// A file of this machine in which at least `part` can be read now: what is kept elsewhere
  /// comes into a cache first, as much as is asked for. Errc::NotFound; Errc::Io when the
  /// content was checked and is damaged; base Errc::Unavailable when where it is cannot be
  /// reached in time.
  virtual Task<Result<FilePtr>> open(Sha256 id, Part part) = 0;
  Task<Result<FilePtr>> open(Sha256 id) { return open(id, {}); }
  /// At most `length` bytes from `offset`.
  virtual Task<Result<std::string>> read(Sha256 id, std::uint64_t offset, std::size_t length) = 0;
  /// The size in bytes, or Errc::NotFound.
  virtual Task<Result<std::uint64_t>> stat(Sha256 id) = 0;
  /// Reads all of it and compares the checksum. A damaged blob is set aside, so
  /// that it is not served and a new upload of the same content heals it.
  virtual Task<Result<Condition>> verify(Sha256 id) = 0;

  /// Removes the blob if `confirm` says so. While it asks, writers of the same
  /// content wait. False when not confirmed; Errc::Busy when somebody holds a pin.
  using Confirm = std::function<Task<Result<bool>>()>;
  virtual Task<Result<bool>> remove(Sha256 id, Confirm confirm) = 0;

  /// What is stored with this first byte, for finding blobs that nobody refers to.
  virtual Task<Result<std::vector<Sha256>>> list(std::uint8_t first_byte) = 0;

  /// Removes what writers left behind that ended badly. Every node may, at any time.
  virtual Task<Result<>> clean() { co_return Result<>{}; }
  /// Ends what runs in the background; call once, last.
  virtual Task<void> stop() { co_return; }
};

}  // namespace haechi::blob
