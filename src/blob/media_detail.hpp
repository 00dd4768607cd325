#pragma once
// What the parts of Media share; nobody else includes it.

#include <list>
#include <string>
#include <unordered_map>

#include "blob/media.hpp"
#include "blob/repo.hpp"

namespace haechi::blob {

/// The most recently used entries of a map.
template <class V>
class Recent {
 public:
  explicit Recent(std::size_t max) : max_(max) {}
  const V* find(std::string_view key) {
    const auto it = map_.find(key);
    if (it == map_.end()) return nullptr;
    order_.splice(order_.begin(), order_, it->second);
    return &it->second->second;
  }
  void put(std::string key, V value) {
    erase(key);
    order_.emplace_front(std::move(key), std::move(value));
    map_.emplace(order_.front().first, order_.begin());
    if (map_.size() > max_) {
      map_.erase(std::string_view(order_.back().first));
      order_.pop_back();
    }
  }
  void erase(std::string_view key) {
    const auto it = map_.find(key);
    if (it == map_.end()) return;
    const auto at = it->second;
    map_.erase(it);
    order_.erase(at);
  }

 private:
  const std::size_t max_;
  std::list<std::pair<std::string, V>> order_;
  std::unordered_map<std::string_view, typename std::list<std::pair<std::string, V>>::iterator>
      map_;  ///< keys live in order_
};

struct Media::Cache {
  explicit Cache(std::size_t max) : records(max), thumbnails(max) {}
  Recent<Record> records;                 ///< with content only, by "origin/id"
  Recent<repo::ThumbnailRow> thumbnails;  ///< by flight key
};

struct Media::Counters {
  explicit Counters(Metrics& m)
      : uploads(m.counter("haechi_media_uploads_total", "Uploads that were acknowledged.")),
        upload_bytes(m.counter("haechi_media_upload_bytes_total", "Bytes of uploads that were acknowledged.")),
        thumbnails(m.counter("haechi_media_thumbnails_total", "Thumbnails made.", "result=\"made\"")),
        thumbnails_failed(m.counter("haechi_media_thumbnails_total", "Thumbnails made.", "result=\"failed\"")),
        damaged(m.counter("haechi_media_damaged_total", "Stored contents that scrubbing found damaged or missing.")) {}
  Counter& uploads;
  Counter& upload_bytes;
  Counter& thumbnails;
  Counter& thumbnails_failed;
  Counter& damaged;
};

/// One thumbnail being looked up or made, and who waits for it.
struct Media::Flight {
  std::string key;
  std::optional<Result<Opened>> result;
  std::vector<Waiter*> waiting;
};

/// Inside a command: deletes the record and what hangs on it; adds contents that nobody uses any more.
void erase_record(journal::Tx& tx, const Record& record, std::vector<Sha256>& unused);

/// The database's own failures, as the module tells them.
template <class T>
Result<T> read_answer(Result<T> r) {
  if (!r && r.error().is(haechi::Errc::Io)) return fail(Errc::Io, std::move(r.error().message));
  if (!r && r.error().is(haechi::Errc::Overloaded)) return fail(Errc::Busy, std::move(r.error().message));
  return r;
}

}  // namespace haechi::blob
