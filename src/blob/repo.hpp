#pragma once
// All SQL of the module: statements on an open connection, no decisions beyond
// keeping the counters true.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blob/media.hpp"
#include "blob/types.hpp"
#include "store/store.hpp"

namespace haechi::blob::repo {

std::span<const store::Migration> migrations();

std::optional<Record> find(store::Connection& c, const MediaId& id);
void insert(store::Connection& c, const Record& record);
/// From pending to complete (or quarantined): content, type, name, state.
void complete(store::Connection& c, const Record& record);
void erase(store::Connection& c, const MediaId& id);
void set_state_of_content(store::Connection& c, const Sha256& id, State from, State to);
std::vector<MediaId> with_content(store::Connection& c, const Sha256& id);
/// Newest first, before (created_ms, key) where given.
std::vector<Record> list(store::Connection& c, std::string_view user, std::size_t limit, WallMs before_ms,
                         std::string_view before_id);
std::vector<MediaId> expired(store::Connection& c, WallMs now, std::size_t limit);
std::vector<MediaId> created_before(store::Connection& c, WallMs before, const std::optional<std::string>& user,
                                    std::size_t limit);

Usage usage(store::Connection& c, std::string_view user);
void add_usage(store::Connection& c, std::string_view user, std::int64_t bytes, std::int64_t items,
               std::int64_t pending);

struct Blob {
  std::uint64_t bytes = 0;
  std::int64_t refs = 0;
  bool quarantined = false;
};
std::optional<Blob> blob(store::Connection& c, const Sha256& id);
/// One more user of the content; makes the row.
void add_ref(store::Connection& c, const Sha256& id, std::uint64_t bytes, WallMs now);
/// One less; says whether none is left.
bool drop_ref(store::Connection& c, const Sha256& id);
void set_quarantined(store::Connection& c, const Sha256& id, bool on);
/// False when it is used again.
bool erase_unreferenced(store::Connection& c, const Sha256& id);
std::vector<Sha256> unreferenced(store::Connection& c, std::size_t limit);
std::vector<Sha256> blobs_after(store::Connection& c, const Sha256& id, std::size_t limit);

struct ThumbnailRow {
  Sha256 result{};
  std::uint64_t bytes = 0;
  std::string content_type;
};
std::optional<ThumbnailRow> thumbnail(store::Connection& c, const Sha256& source, const ThumbnailSpec& spec);
/// False when there is one already.
bool insert_thumbnail(store::Connection& c, const Sha256& source, const ThumbnailSpec& spec, const ThumbnailRow& row,
                      WallMs now);
void erase_thumbnail(store::Connection& c, const Sha256& source, const ThumbnailSpec& spec);
/// Of this source; with their results' references dropped. Returns results that nobody uses now.
std::vector<Sha256> erase_thumbnails(store::Connection& c, const Sha256& source);

}  // namespace haechi::blob::repo
