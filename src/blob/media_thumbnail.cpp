// Small versions: looked up, or made once however many ask.

#include <algorithm>

#include "base/json.hpp"
#include "base/log.hpp"
#include "blob/media_detail.hpp"

namespace haechi::blob {
namespace {

constexpr auto kWaitMax = std::chrono::seconds(30);
constexpr std::size_t kFailuresMax = 4096;

std::string flight_key(const Sha256& id, const ThumbnailSpec& s) {
  return to_hex(id) + '/' + std::to_string(s.width) + 'x' + std::to_string(s.height) +
         (s.method == Method::Crop ? 'c' : 's') + (s.animated == Animated::Yes ? 'a' : '-');
}

/// Only these move; for anything else the still is the same.
bool may_move(std::string_view content_type) {
  return content_type.starts_with("image/gif") || content_type.starts_with("image/webp") ||
         content_type == "application/octet-stream";
}

}  // namespace

Task<Result<Opened>> Media::thumbnail(MediaId id, ThumbnailSpec wanted, Duration timeout, Canceller* canceller) {
  CO_TRY(Record record, co_await find_ready(std::move(id), timeout, canceller));
  auto spec = snap(wanted);
  if (!may_move(record.content_type)) spec.animated = Animated::No;
  auto key = flight_key(record.sha256, spec);
  if (const auto it = failures_.find(key); it != failures_.end()) co_return std::unexpected(it->second);

  std::shared_ptr<Flight> flight;
  if (const auto it = flights_.find(key); it != flights_.end()) {
    flight = it->second;
  } else {
    if (stopping_) co_return fail(Errc::Busy, "the server is stopping");
    flight = std::make_shared<Flight>();
    flight->key = key;
    flights_.emplace(std::move(key), flight);
    scope_.spawn(make(flight, record, spec));
  }
  if (!flight->result) {
    Waiter waiter(loop_);
    flight->waiting.push_back(&waiter);
    const auto why = co_await waiter.wait(loop_.now() + kWaitMax, canceller);
    std::erase(flight->waiting, &waiter);
    if (!flight->result) {
      if (why == Wake::Cancelled) co_return fail(haechi::Errc::Cancelled, "the client went away");
      co_return fail(haechi::Errc::Timeout, "the thumbnail took too long");
    }
  }
  auto opened = *flight->result;
  if (opened) opened->record = std::move(record);
  co_return opened;
}

Task<void> Media::make(std::shared_ptr<Flight> flight, Record record, ThumbnailSpec spec) {
  auto result = co_await make_and_store(std::move(record), spec);
  if (!result) {
    const auto& e = result.error();
    counters_->thumbnails_failed.add();
    if (e.is(Errc::NotAnImage) || e.is(Errc::TooLarge) || e.is(haechi::Errc::Timeout)) {
      if (failures_.size() >= kFailuresMax) failures_.clear();
      failures_.emplace(flight->key, e);
    }
  }
  flight->result = std::move(result);
  flights_.erase(flight->key);
  for (auto* w : flight->waiting) w->notify();
}

Task<Result<std::optional<Opened>>> Media::stored_thumbnail(Record record, ThumbnailSpec spec) {
  const auto key = flight_key(record.sha256, spec);
  std::optional<repo::ThumbnailRow> row;
  if (const auto* known = cache_->thumbnails.find(key)) {
    row = *known;
  } else {
    auto read = read_answer(co_await readers_.read(
        [id = record.sha256, spec](store::Connection& c) -> Result<std::optional<repo::ThumbnailRow>> {
          return repo::thumbnail(c, id, spec);
        }));
    if (!read) co_return std::unexpected(std::move(read.error()));
    row = std::move(*read);
  }
  if (!row) co_return std::optional<Opened>();
  auto file = co_await blobs_.open(row->result);
  if (!file) {
    // Damaged, lost, or removed since it was cached: made anew.
    cache_->thumbnails.erase(key);
    if (file.error().is(Errc::Busy) || file.error().is(haechi::Errc::Unavailable))
      co_return std::unexpected(std::move(file.error()));
    co_return std::optional<Opened>();
  }
  cache_->thumbnails.put(key, *row);
  co_return Opened{std::move(record), row->content_type, row->result, row->bytes, std::move(*file)};
}

Task<Result<Opened>> Media::make_and_store(Record record, ThumbnailSpec spec) {
  CO_TRY(std::optional<Opened> ready, co_await stored_thumbnail(record, spec));
  if (ready) co_return std::move(*ready);

  CO_TRY(FilePtr original, co_await blobs_.open(record.sha256));
  CO_TRY(Thumbnail made, co_await thumbnailer_.make(std::move(original), spec));
  counters_->thumbnails.add();
  StringSource source(std::move(made.bytes));
  CO_TRY(Stored stored, co_await blobs_.put(source, ~std::uint64_t{0}));
  const repo::ThumbnailRow row{stored.sha256, stored.bytes, made.content_type};
  auto done = co_await journal_.submit([id = record.sha256, spec, row](journal::Tx& tx) -> Result<> {
    auto& c = tx.sql();
    const auto original_row = repo::blob(c, id);
    if (!original_row || original_row->refs == 0) return fail(Errc::NotFound, "the media was deleted meanwhile");
    if (const auto before = repo::thumbnail(c, id, spec)) {
      if (before->result == row.result) return {};
      repo::drop_ref(c, before->result);
      repo::erase_thumbnail(c, id, spec);
    }
    repo::add_ref(c, row.result, row.bytes, tx.wall_ms());
    repo::insert_thumbnail(c, id, spec, row, tx.wall_ms());
    tx.append(kThumbnailMade, to_hex(id),
              to_text(json::object{{"width", spec.width}, {"height", spec.height}, {"sha256", to_hex(row.result)}}));
    return {};
  });
  if (!done) {
    co_await discard(stored.sha256, std::move(stored.pin));
    co_return std::unexpected(std::move(done.error()));
  }
  CO_TRY(FilePtr file, co_await blobs_.open(row.result));
  cache_->thumbnails.put(flight_key(record.sha256, spec), row);
  co_return Opened{std::move(record), row.content_type, row.result, row.bytes, std::move(file)};
}

}  // namespace haechi::blob
