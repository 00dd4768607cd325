#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "blob/blob_store.hpp"
#include "blob/file_system.hpp"

namespace haechi::blob {
namespace {

/// `what` is a verb; the path is ours, so it may be told.
std::unexpected<Error> os_error(std::string_view what, std::string_view path, int code = errno) {
  std::string message(what);
  if (!path.empty()) message.append(" ").append(path);
  message.append(": ").append(std::strerror(code));
  return fail(code == ENOENT ? Errc::NotFound : Errc::Io, std::move(message));
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<bool> make_dir(const std::string& path) override {
    if (::mkdir(path.c_str(), 0750) == 0) return true;
    if (errno == EEXIST) return false;
    return fail(Errc::Io, "mkdir " + path + ": " + std::strerror(errno));
  }

  Result<int> create(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0) return fail(Errc::Io, "create " + path + ": " + std::strerror(errno));
    return fd;
  }

  Result<> reserve(int fd, std::uint64_t bytes) override {
    // Without posix_fallocate's fallback, which would write zeros where the file system cannot.
    if (bytes == 0 || ::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) return {};
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
      return fail(Errc::Io, std::string("no room: ") + std::strerror(errno));
    return {};
  }

  Result<> write(int fd, std::string_view bytes) override {
    while (!bytes.empty()) {
      const auto n = ::write(fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Errc::Io, std::string("write: ") + std::strerror(errno));
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

  Result<> write_at(int fd, std::string_view bytes, std::uint64_t offset) override {
    while (!bytes.empty()) {
      const auto n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Errc::Io, std::string("write: ") + std::strerror(errno));
      bytes.remove_prefix(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }

  Result<> sync(int fd) override {
    if (::fdatasync(fd) == 0) return {};
    return fail(Errc::Io, std::string("fdatasync: ") + std::strerror(errno));
  }

  Result<> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) == 0) return {};
    return fail(Errc::Io, "rename to " + to + ": " + std::strerror(errno));
  }

  Result<> sync_dir(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail(Errc::Io, "open " + path + ": " + std::strerror(errno));
    const int rc = ::fsync(fd);
    const int code = errno;
    ::close(fd);
    if (rc != 0) return fail(Errc::Io, "fsync " + path + ": " + std::strerror(code));
    return {};
  }

  Result<int> open_read(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return os_error("open", path);
    return fd;
  }

  Result<std::uint64_t> size(const std::string& path) override {
    struct stat s{};
    if (::stat(path.c_str(), &s) != 0) return os_error("stat", path);
    return static_cast<std::uint64_t>(s.st_size);
  }

  Result<std::size_t> read(int fd, std::span<char> into, std::uint64_t offset) override {
    std::size_t done = 0;
    while (done < into.size()) {
      const auto n = ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Errc::Io, std::string("read: ") + std::strerror(errno));
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  Result<> remove(const std::string& path) override {
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    return fail(Errc::Io, "remove " + path + ": " + std::strerror(errno));
  }

  Result<std::vector<std::string>> list(const std::string& path) override {
    std::vector<std::string> names;
    DIR* const dir = ::opendir(path.c_str());
    if (!dir) {
      if (errno == ENOENT) return names;
      return fail(Errc::Io, "list " + path + ": " + std::strerror(errno));
    }
    while (const dirent* e = ::readdir(dir)) {
      const std::string_view name(e->d_name);
      if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(dir);
    return names;
  }

  void close(int fd) noexcept override { ::close(fd); }
};

}  // namespace

std::unique_ptr<FileSystem> posix_file_system() { return std::make_unique<PosixFileSystem>(); }

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

int File::duplicate() const { return ::fcntl(fd_, F_DUPFD_CLOEXEC, 0); }

}  // namespace haechi::blob
