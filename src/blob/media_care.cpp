// Work in the background: what has expired, what nobody uses, what the disk forgot.
// Every node does it; each step is decided in a command or in the database, so that two nodes
// at the same time do no more than one.

#include <algorithm>

#include "base/json.hpp"
#include "base/log.hpp"
#include "blob/media_detail.hpp"

namespace haechi::blob {
namespace {

constexpr std::size_t kBatch = 500;

}  // namespace

/// The row goes first, in a command that checks that nobody came to use it; a
/// crash after it leaves a file without a row, which sweeping finds. Never the
/// other way round.
Task<Result<>> Media::drop_unreferenced(std::vector<Sha256> ids) {
  for (const auto& id : ids) {
    const auto unused = [this, id] {
      return journal_.submit([id](journal::Tx& tx) -> Result<bool> {
        if (!repo::erase_unreferenced(tx.sql(), id)) return false;
        tx.append(kBlobDropped, to_hex(id), "{}");
        return true;
      });
    };
    auto removed = co_await blobs_.remove(id, unused);
    if (!removed && !removed.error().is(Errc::Busy)) co_return std::unexpected(std::move(removed.error()));
  }
  co_return Result<>{};
}

Task<void> Media::drop_in_background(std::vector<Sha256> ids) {
  const auto done = co_await drop_unreferenced(std::move(ids));
  if (!done) log::warn("unused media stays for now", {{"why", done.error().message}});
}

Task<Result<>> Media::sweep_orphans() {
  CO_TRY(auto stored, co_await blobs_.list(sweep_prefix_++));
  for (std::size_t at = 0; at < stored.size(); at += kBatch) {
    const auto end = stored.begin() + static_cast<std::ptrdiff_t>(std::min(at + kBatch, stored.size()));
    std::vector<Sha256> some(stored.begin() + static_cast<std::ptrdiff_t>(at), end);
    auto orphans = read_answer(
        co_await readers_.read([some = std::move(some)](store::Connection& c) -> Result<std::vector<Sha256>> {
          auto left = some;
          std::erase_if(left, [&](const Sha256& id) { return repo::blob(c, id).has_value(); });
          return left;
        }));
    if (!orphans) co_return std::unexpected(std::move(orphans.error()));
    // Those of uploads under way are pinned, and stay.
    for (const auto& id : *orphans) co_await discard(id, Pin());
  }
  co_return Result<>{};
}

Task<Result<>> Media::housekeep() {
  if (stopping_) co_return fail(Errc::Busy, "the server is stopping");
  auto late = read_answer(
      co_await readers_.read([now = clock_.wall_ms()](store::Connection& c) -> Result<std::vector<MediaId>> {
        return repo::expired(c, now, kBatch);
      }));
  if (!late) co_return std::unexpected(std::move(late.error()));
  if (!late->empty()) {
    CO_TRY_DO(co_await journal_.submit([ids = std::move(*late), now = clock_.wall_ms()](journal::Tx& tx) -> Result<> {
      std::vector<Sha256> none;
      for (const auto& id : ids) {
        const auto record = repo::find(tx.sql(), id);
        if (record && record->state == State::Pending && record->expires_ms <= now) erase_record(tx, *record, none);
      }
      return {};
    }));
  }
  auto unused = read_answer(co_await readers_.read(
      [](store::Connection& c) -> Result<std::vector<Sha256>> { return repo::unreferenced(c, kBatch); }));
  if (!unused) co_return std::unexpected(std::move(unused.error()));
  CO_TRY_DO(co_await drop_unreferenced(std::move(*unused)));
  CO_TRY_DO(co_await sweep_orphans());
  co_return co_await blobs_.clean();
}

Task<Result<ScrubReport>> Media::scrub(std::size_t n) {
  auto ids = read_answer(
      co_await readers_.read([from = scrub_cursor_, n](store::Connection& c) -> Result<std::vector<Sha256>> {
        return repo::blobs_after(c, from, n);
      }));
  if (!ids) co_return std::unexpected(std::move(ids.error()));
  ScrubReport report;
  for (const auto& id : *ids) {
    if (stopping_) break;
    CO_TRY(Condition condition, co_await blobs_.verify(id));
    if (condition == Condition::Missing) {
      // It may have been removed since the list was read.
      auto still = read_answer(
          co_await readers_.read([id](store::Connection& c) -> Result<bool> { return repo::blob(c, id).has_value(); }));
      if (!still || !*still) continue;
    }
    scrub_cursor_ = id;
    ++report.checked;
    if (condition == Condition::Damaged) ++report.damaged;
    if (condition == Condition::Missing) ++report.missing;
  }
  if (ids->size() < n) scrub_cursor_ = {};
  counters_->damaged.add(report.damaged + report.missing);
  co_return report;
}

}  // namespace haechi::blob
