#include "app/media_place.hpp"

#include "blob/database_keeper.hpp"
#include "blob/local_store.hpp"
#include "blob/shared_store.hpp"

namespace haechi::app {

Result<std::unique_ptr<blob::BlobStore>> open_media_place(const Config& config, Loop& loop, const Clock& clock,
                                                          Random& random, blob::FileSystem& files, store::Database& db,
                                                          blob::Sessions& sessions) {
  if (config.blobs.place == BlobPlace::Local) {
    return blob::LocalBlobStore::create(loop, files, {.root = config.data + "/media"});
  }
  // Contents from before a change of the setting stay where they are, and are read there.
  std::vector<std::unique_ptr<blob::Keeper>> keepers;
  TRY_DO(blob::DatabaseKeeper::prepare(db));
  keepers.push_back(std::make_unique<blob::DatabaseKeeper>(sessions));
  return blob::SharedBlobStore::create(loop, clock, random, files, sessions, std::move(keepers),
                                       {.cache = {.root = config.data + "/cache"}});
}

}  // namespace haechi::app
