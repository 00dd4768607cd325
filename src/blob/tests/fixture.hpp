#pragma once
// A node's media with a real folder and a real database, on a loop that tests drive.

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/random.hpp"
#include "blob/local_store.hpp"
#include "blob/media.hpp"

namespace haechi::blob::test {

using namespace std::chrono_literals;

struct TempDir {
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/haechi-blob-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::string path;
};

inline std::string read_all(const File& file) {
  std::string out(file.size(), '\0');
  const auto n = ::pread(file.fd(), out.data(), out.size(), 0);
  out.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return out;
}

/// Gives its bytes in pieces; may fail, or wait to be told, after some of them.
class PieceSource final : public ByteSource {
 public:
  PieceSource(std::string bytes, std::size_t piece) : bytes_(std::move(bytes)), piece_(piece) {}
  Task<Result<std::string_view>> read() override {
    if (hold && !held_) {
      held_ = true;
      co_await hold->wait(Instant::max());
    }
    if (at_ >= fail_at) co_return fail(haechi::Errc::Cancelled, "the sender went away");
    const auto n = std::min(piece_, bytes_.size() - at_);
    at_ += n;
    co_return std::string_view(bytes_).substr(at_ - n, n);
  }
  std::optional<std::uint64_t> size_hint() const override { return hint; }
  std::size_t fail_at = std::string::npos;
  std::optional<std::uint64_t> hint;
  Waiter* hold = nullptr;

 private:
  std::string bytes_;
  std::size_t piece_;
  std::size_t at_ = 0;
  bool held_ = false;
};

inline std::size_t files_below(const std::string& dir) {
  std::size_t n = 0;
  for (const auto& e : std::filesystem::recursive_directory_iterator(dir)) n += e.is_regular_file();
  return n;
}

struct Node {
  explicit Node(const std::string& dir, MediaOptions options = {}, FileSystem* other_files = nullptr)
      : root(dir + "/media") {
    if (options.origin.empty()) options.origin = "hs";
    db = store::open_sqlite({.path = dir + "/db"}).value();
    std::vector<store::Migration> steps;
    for (const auto& m : journal::Journal::migrations()) steps.push_back(m);
    for (const auto& m : Media::migrations()) steps.push_back(m);
    REQUIRE(store::migrate(*db, steps).has_value());
    readers = std::make_unique<store::Readers>(loop, *db, 2, 1000);
    journal = journal::Journal::create(loop, *db, *readers, clock, metrics, {}).value();
    files = other_files ? other_files : posix.get();
    blobs = LocalBlobStore::create(loop, *files, {.root = root}).value();
    thumbnailer = std::make_unique<Thumbnailer>(loop, ThumbnailOptions{});
    media = std::make_unique<Media>(loop, *journal, *readers, *blobs, *thumbnailer, clock, random, metrics, options);
    journal->start();
  }
  ~Node() {
    loop.run(media->stop());
    loop.run(journal->stop());
  }

  Result<MediaId> upload(const std::string& user, std::string bytes, UploadInfo info = {"a.txt", "text/plain"}) {
    StringSource source(std::move(bytes));
    return loop.run(media->upload(user, std::move(info), source));
  }
  Result<> upload_to(const std::string& user, const MediaId& id, std::string bytes) {
    StringSource source(std::move(bytes));
    return loop.run(media->upload_to(user, id, {"a.txt", "text/plain"}, source));
  }
  Result<std::string> content(const MediaId& id, Duration timeout = 0s) {
    TRY(auto opened, loop.run(media->open(id, timeout)));
    TRY(const auto file, loop.run(media->file(std::move(opened))));
    return read_all(*file);
  }

  ManualClock clock;
  ManualLoop loop{clock};
  SeededRandom random{1};
  Metrics metrics;
  std::string root;
  std::unique_ptr<FileSystem> posix = posix_file_system();
  FileSystem* files = nullptr;
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Readers> readers;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<LocalBlobStore> blobs;
  std::unique_ptr<Thumbnailer> thumbnailer;
  std::unique_ptr<Media> media;
};

}  // namespace haechi::blob::test
