#pragma once
// Blobs as files of this machine: ROOT/ab/<sha256>, written under ROOT/tmp
// first. The name appears only after the content is synced, so no half file is
// ever seen under a blob's name.

// One level of 256 folders: a second would make and sync a new folder for nearly
// every upload of a young store, and a folder of ext4 or XFS holds millions.

#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/loop.hpp"
#include "base/pool.hpp"
#include "blob/blob_store.hpp"
#include "blob/file_system.hpp"
#include "blob/fwd.hpp"
#include "blob/types.hpp"

namespace haechi::blob {

struct LocalOptions {
  std::string root;         ///< DATA/media
  std::size_t threads = 4;  ///< so that one slow sync does not hold the others
  std::size_t queue_max = 4096;
  std::size_t writes_max = 1024;                  ///< at the same time; past it Errc::Busy
  std::size_t buffers_bytes = 128 * 1024 * 1024;  ///< shared by all writes under way
  std::uint64_t verify_bytes_max = 256 * 1024;    ///< files up to here are checked when opened anew
  std::size_t open_files_max = 256;               ///< kept open for the next reader
};

/// Lifecycle: create (removes what a crash left in tmp), use, stop. Loop thread only.
class LocalBlobStore final : public BlobStore {
 public:
  /// `files` must outlive the store. Blocks while it makes the folders: start-up only.
  static Result<std::unique_ptr<LocalBlobStore>> create(Loop& loop, FileSystem& files, LocalOptions options);
  ~LocalBlobStore() override;

  Task<Result<Stored>> put(ByteSource& source, std::uint64_t bytes_max) override;
  using BlobStore::open;
  Task<Result<FilePtr>> open(Sha256 id, Part part) override;
  Task<Result<std::string>> read(Sha256 id, std::uint64_t offset, std::size_t length) override;
  Task<Result<std::uint64_t>> stat(Sha256 id) override;
  Task<Result<Condition>> verify(Sha256 id) override;
  Task<Result<bool>> remove(Sha256 id, Confirm confirm) override;
  Task<Result<std::vector<Sha256>>> list(std::uint8_t first_byte) override;

  std::string path_of(const Sha256& id) const;
  std::size_t writes_under_way() const { return writes_; }

 private:
  /// Who uses a blob's name now.
  struct Use {
    std::size_t pins = 0;
    bool removing = false;
    std::vector<Waiter*> waiting;
  };
  struct Cached {
    Sha256 id;
    FilePtr file;
  };

  LocalBlobStore(Loop& loop, FileSystem& files, LocalOptions options);
  Task<Result<Stored>> put_open(ByteSource& source, std::uint64_t bytes_max, std::shared_ptr<Spool> spool);
  Task<Result<Pin>> pin(Sha256 id);
  void unpin(const Sha256& id);
  Result<bool> publish(Spool& spool, const Sha256& id);
  Result<> make_parents(const Sha256& id);
  Result<Condition> check(const Sha256& id);
  std::string folder_of(const Sha256& id) const;
  std::size_t chunk_bytes() const;
  void remember(const Sha256& id, FilePtr file);
  void forget(const Sha256& id);

  Loop& loop_;
  FileSystem& files_;
  const LocalOptions options_;
  std::size_t writes_ = 0;
  std::uint64_t next_temp_ = 0;
  std::unordered_map<Sha256, Use, Sha256Hash> uses_;
  std::array<std::atomic<bool>, 256> durable_folders_{};  ///< by the first byte; any thread
  std::list<Cached> recent_;                              ///< newest first
  std::unordered_map<Sha256, std::list<Cached>::iterator, Sha256Hash> open_files_;
  BlockingPool pool_;  ///< last: its threads end first
};

}  // namespace haechi::blob
