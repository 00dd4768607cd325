#pragma once
// Blobs that every node of every site can read: kept by a Keeper (rows of the replicated
// database, or an S3 store), found through the index in the database, served from a cache on
// this machine's disk.

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/loop.hpp"
#include "base/pool.hpp"
#include "base/random.hpp"
#include "blob/blob_store.hpp"
#include "blob/contents.hpp"
#include "blob/disk_cache.hpp"
#include "blob/fwd.hpp"
#include "blob/keeper.hpp"
#include "blob/sessions.hpp"

namespace haechi::blob {

struct SharedOptions {
  CacheOptions cache;
  std::size_t readers = 2;  ///< threads, and with the database as keeper connections
  std::size_t writers = 2;
  std::size_t queue_max = 1024;
  std::size_t writes_max = 1024;                 ///< at the same time; past it Errc::Busy
  std::size_t buffers_bytes = 64 * 1024 * 1024;  ///< shared by all uploads that arrive
  /// A request waits so long for the database or the keeper before it is Unavailable.
  Duration patience = std::chrono::seconds(20);
  /// Nobody removes what was uploaded (perhaps again) or written at within this time: who
  /// did so is about to refer to it. Far longer than a command may take.
  std::chrono::milliseconds grace{std::chrono::minutes(15)};
  /// What may be fetched in part and stand in the cache unfinished.
  std::size_t unfinished_max = 64;
};

/// An upload goes to a file of the cache first, and from there to the keeper: so a switch of the
/// database in its midst is no concern of the client's, and what is stored already is not sent
/// again. put() answers after the keeper's answer and the index's commit.
/// Pins are empty: what was put is safe from every node for SharedOptions::grace.
/// Lifecycle: create, use, stop. Loop thread only.
class SharedBlobStore final : public BlobStore {
 public:
  /// New contents go to the first keeper; all of them are read. What is passed by reference
  /// must outlive the store. Blocks: start-up only.
  static Result<std::unique_ptr<SharedBlobStore>> create(Loop& loop, const Clock& clock, Random& random,
                                                         FileSystem& files, Sessions& sessions,
                                                         std::vector<std::unique_ptr<Keeper>> keepers,
                                                         SharedOptions options);
  ~SharedBlobStore() override;

  Task<Result<Stored>> put(ByteSource& source, std::uint64_t bytes_max) override;
  using BlobStore::open;
  Task<Result<FilePtr>> open(Sha256 id, Part part) override;
  Task<Result<std::string>> read(Sha256 id, std::uint64_t offset, std::size_t length) override;
  Task<Result<std::uint64_t>> stat(Sha256 id) override;
  Task<Result<Condition>> verify(Sha256 id) override;
  Task<Result<bool>> remove(Sha256 id, Confirm confirm) override;
  Task<Result<std::vector<Sha256>>> list(std::uint8_t first_byte) override;
  Task<Result<>> clean() override;
  Task<void> stop() override;

  const DiskCache& cache() const { return *cache_; }
  /// Contents that are being fetched, or are here in part.
  std::size_t unfinished() const { return fetches_.size(); }

 private:
  struct Fetch;
  using FetchPtr = std::shared_ptr<Fetch>;

  SharedBlobStore(Loop& loop, const Clock& clock, Random& random, FileSystem& files, Sessions& sessions,
                  std::vector<std::unique_ptr<Keeper>> keepers, SharedOptions options);
  std::size_t chunk_bytes() const;
  Result<bool> store(Spool& spool, const Sha256& id, const std::string& name);
  Result<Keeper*> keeper_of(const contents::Place& place) const;
  Task<Result<contents::Place>> locate(Sha256 id);
  Result<> remove_name(const contents::Place& place);

  FetchPtr fetch_of(const Sha256& id);
  Task<void> begin(FetchPtr fetch);
  Task<void> load(FetchPtr fetch, std::size_t first, std::size_t count);
  Task<void> complete(FetchPtr fetch);
  Task<Result<FilePtr>> wait_for(FetchPtr fetch, Part part);
  Result<> load_blocking(const Fetch& fetch, std::size_t first, std::size_t count);
  void end(Fetch& fetch);
  void wake(Fetch& fetch);
  void limit_unfinished();

  Loop& loop_;
  const Clock& clock_;
  Random& random_;
  FileSystem& files_;
  Sessions& sessions_;
  const SharedOptions options_;
  std::vector<std::unique_ptr<Keeper>> keepers_;
  std::unique_ptr<DiskCache> cache_;
  std::size_t writes_ = 0;
  std::uint64_t uses_ = 0;
  std::unordered_map<Sha256, FetchPtr, Sha256Hash> fetches_;
  Scope scope_;
  // Last: their threads end first.
  BlockingPool disk_;
  BlockingPool reading_;
  BlockingPool writing_;
};

}  // namespace haechi::blob
