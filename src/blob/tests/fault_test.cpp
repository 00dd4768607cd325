// Fail at the n-th file operation, for every n: what was acknowledged is there
// and whole, what was not leaves no name behind that could be served.

#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "blob/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::blob;
using namespace haechi::blob::test;

namespace {

/// Passes operations on until the n-th; from then on the disk is dead. Remembers
/// what was synced, so that crash() can drop the rest as a power cut would.
class FaultyFileSystem final : public FileSystem {
 public:
  explicit FaultyFileSystem(FileSystem& real) : real_(real) {}

  void fail_from(std::size_t n) { left_ = n; }
  void heal() { left_ = ~std::size_t{0}; }
  std::size_t operations() const { return count_; }

  Result<bool> make_dir(const std::string& p) override {
    return step([&] { return real_.make_dir(p); });
  }
  Result<int> create(const std::string& p) override {
    auto fd = step([&] { return real_.create(p); });
    if (fd) {
      const std::lock_guard lock(mutex_);
      open_[*fd] = p;
      synced_[p] = false;
    }
    return fd;
  }
  Result<> reserve(int fd, std::uint64_t n) override {
    return step([&] { return real_.reserve(fd, n); });
  }
  Result<> write(int fd, std::string_view bytes) override {
    // A failing write has written a part.
    if (take()) return real_.write(fd, bytes);
    static_cast<void>(real_.write(fd, bytes.substr(0, bytes.size() / 2)));
    return fail(blob::Errc::Io, "injected");
  }
  Result<> write_at(int fd, std::string_view bytes, std::uint64_t offset) override {
    return step([&] { return real_.write_at(fd, bytes, offset); });
  }
  Result<> sync(int fd) override {
    TRY_DO(step([&] { return real_.sync(fd); }));
    const std::lock_guard lock(mutex_);
    synced_[open_[fd]] = true;
    return {};
  }
  Result<> rename(const std::string& from, const std::string& to) override {
    TRY_DO(step([&] { return real_.rename(from, to); }));
    const std::lock_guard lock(mutex_);
    unsynced_names_.push_back({to, synced_[from]});
    return {};
  }
  Result<> sync_dir(const std::string& p) override {
    TRY_DO(step([&] { return real_.sync_dir(p); }));
    const std::lock_guard lock(mutex_);
    std::erase_if(unsynced_names_, [&](const auto& n) { return n.content_synced && n.path.starts_with(p + "/"); });
    return {};
  }
  Result<int> open_read(const std::string& p) override {
    return step([&] { return real_.open_read(p); });
  }
  Result<std::uint64_t> size(const std::string& p) override {
    return step([&] { return real_.size(p); });
  }
  Result<std::size_t> read(int fd, std::span<char> into, std::uint64_t at) override {
    return step([&] { return real_.read(fd, into, at); });
  }
  Result<> remove(const std::string& p) override {
    return step([&] { return real_.remove(p); });
  }
  Result<std::vector<std::string>> list(const std::string& p) override {
    return step([&] { return real_.list(p); });
  }
  void close(int fd) noexcept override { real_.close(fd); }

  /// Names whose folder was not synced, or whose content was not, are gone.
  void crash() {
    const std::lock_guard lock(mutex_);
    for (const auto& n : unsynced_names_) static_cast<void>(real_.remove(n.path));
    unsynced_names_.clear();
  }

 private:
  struct Name {
    std::string path;
    bool content_synced;
  };
  bool take() {
    ++count_;
    auto left = left_.load();
    while (left > 0 && !left_.compare_exchange_weak(left, left - 1)) {
    }
    return left > 0;
  }
  template <class F>
  auto step(F f) -> std::invoke_result_t<F&> {
    if (!take()) return fail(blob::Errc::Io, "injected");
    return f();
  }
  FileSystem& real_;
  std::atomic<std::size_t> left_{~std::size_t{0}};
  std::atomic<std::size_t> count_{0};
  std::mutex mutex_;
  std::map<int, std::string> open_;
  std::map<std::string, bool> synced_;
  std::vector<Name> unsynced_names_;
};

struct Acknowledged {
  MediaId id;
  std::string bytes;
};

}  // namespace

TEST_CASE("whichever file operation fails, nothing acknowledged is lost and no half file is served") {
  bool all_done = false;
  for (std::size_t n = 0; !all_done; ++n) {
    REQUIRE(n < 500);
    CAPTURE(n);
    TempDir dir;
    const auto real = posix_file_system();
    FaultyFileSystem files(*real);
    std::vector<Acknowledged> safe;
    std::vector<Sha256> tried;
    {
      Node node(dir.path, {}, &files);
      files.fail_from(n);
      all_done = true;
      for (int i = 0; i < 4; ++i) {
        // Small, large, and one that is there already.
        auto bytes = std::string(i % 2 ? 1'200'000 : 100, static_cast<char>('a' + i % 3));
        tried.push_back(sha256(bytes));
        const auto id = node.upload("@u:hs", bytes);
        if (id) safe.push_back({*id, std::move(bytes)});
        else CHECK(id.error().is(blob::Errc::Io));
        all_done = all_done && id.has_value();
      }
      if (safe.size() == 4) {
        const auto removed = node.loop.run(node.media->remove(safe[1].id));
        CHECK(removed.has_value());
        safe.erase(safe.begin() + 1);
      }
    }
    files.crash();
    files.heal();
    Node node(dir.path, {}, &files);
    for (const auto& s : safe) {
      const auto got = node.content(s.id);
      REQUIRE(got);
      CHECK(*got == s.bytes);
    }
    // A name that exists holds what it says.
    for (const auto& id : tried) CHECK(node.loop.run(node.blobs->verify(id)).value() != Condition::Damaged);
    for (int i = 0; i < 256; ++i) REQUIRE(node.loop.run(node.media->housekeep()).has_value());
    std::set<std::string> contents;
    for (const auto& s : safe) contents.insert(s.bytes);
    CHECK(files_below(node.root) == contents.size());
  }
}
