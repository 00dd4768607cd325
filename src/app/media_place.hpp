#pragma once
// Where a node's media are, by the operator's choice.

#include <memory>

#include "app/config.hpp"
#include "base/clock.hpp"
#include "base/loop.hpp"
#include "base/random.hpp"
#include "blob/blob_store.hpp"
#include "blob/file_system.hpp"
#include "blob/sessions.hpp"
#include "store/store.hpp"

namespace haechi::app {

/// What the store is made of must outlive it. Blocks: start-up only.
Result<std::unique_ptr<blob::BlobStore>> open_media_place(const Config& config, Loop& loop, const Clock& clock,
                                                          Random& random, blob::FileSystem& files, store::Database& db,
                                                          blob::Sessions& sessions);

}  // namespace haechi::app
