#include "app/media_place.hpp"

#include "blob/database_keeper.hpp"
#include "blob/local_store.hpp"
#include "blob/s3_keeper.hpp"
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
  if (config.blobs.place == BlobPlace::S3) {
    const auto& b = config.blobs;
    keepers.push_back(std::make_unique<blob::S3Keeper>(blob::S3Options{.endpoint = b.s3_endpoint,
                                                                       .region = b.s3_region,
                                                                       .bucket = b.s3_bucket,
                                                                       .access_key = b.s3_access_key,
                                                                       .secret_key = b.s3_secret_key,
                                                                       .extra_ca_file = config.tls.extra_ca}));
  }
  TRY_DO(blob::DatabaseKeeper::prepare(db));
  keepers.push_back(std::make_unique<blob::DatabaseKeeper>(sessions));
  return blob::SharedBlobStore::create(
      loop, clock, random, files, sessions, std::move(keepers),
      {.cache = {.root = config.data + "/cache",
                 .bytes_max = static_cast<std::uint64_t>(config.blobs.cache_bytes_max)}});
}

}  // namespace haechi::app
