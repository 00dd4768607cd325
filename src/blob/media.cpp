#include "blob/media.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/log.hpp"
#include "blob/media_detail.hpp"

namespace haechi::blob {
namespace {

constexpr std::size_t kPageMax = 500;
constexpr std::size_t kPurgeBatch = 100;

}  // namespace

Media::Media(Loop& loop, journal::Journal& journal, store::Readers& readers, BlobStore& blobs, Thumbnailer& thumbnailer,
             const Clock& clock, Random& random, Metrics& metrics, MediaOptions options)
    : loop_(loop),
      journal_(journal),
      readers_(readers),
      blobs_(blobs),
      thumbnailer_(thumbnailer),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      counters_(std::make_unique<Counters>(metrics)),
      cache_(std::make_unique<Cache>(options_.records_cached)) {
  journal_.subscribe([this](std::span<const journal::Entry> entries) { follow(entries); });
}

Media::~Media() = default;

std::span<const store::Migration> Media::migrations() { return repo::migrations(); }

Task<void> Media::stop() {
  stopping_ = true;
  for (auto& [key, waiters] : waiting_) {
    for (auto* w : waiters) w->notify();
  }
  co_await scope_.join();
}

void Media::follow(std::span<const journal::Entry> entries) {
  for (const auto& e : entries) {
    if (e.kind == kDeleted || e.kind == kQuarantineChanged) {
      ++changes_;
      cache_->records.erase(e.subject);
    } else if (e.kind != kUploaded) {
      continue;
    }
    if (const auto it = waiting_.find(e.subject); it != waiting_.end()) {
      for (auto* w : it->second) w->notify();
    }
  }
}

// Reading.

Task<Result<Record>> Media::find(MediaId id) {
  auto key = id.key();
  if (const auto* known = cache_->records.find(key)) co_return *known;
  const auto changes = changes_;
  auto found = read_answer(co_await readers_.read(
      [id](store::Connection& c) -> Result<std::optional<Record>> { return repo::find(c, id); }));
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return fail(Errc::NotFound, "there is no media " + id.uri());
  if ((*found)->state != State::Pending && changes == changes_) cache_->records.put(std::move(key), **found);
  co_return std::move(**found);
}

Task<Result<Record>> Media::find_ready(MediaId id, Duration timeout, Canceller* canceller) {
  auto found = co_await find(id);
  if (found && found->state == State::Pending) {
    const auto deadline = loop_.now() + timeout;
    if (waiting_count_ >= options_.waiting_max) co_return fail(Errc::Busy, "too many wait for uploads");
    const auto key = id.key();
    Waiter waiter(loop_);
    waiting_[key].push_back(&waiter);
    ++waiting_count_;
    auto why = Wake::Signalled;
    while (true) {
      // Asked again after standing in the list, so that an upload in between is not missed.
      found = co_await find(id);
      if (!found || found->state != State::Pending || found->expires_ms <= clock_.wall_ms()) break;
      if (why != Wake::Signalled || stopping_ || timeout <= Duration::zero()) break;
      why = co_await waiter.wait(deadline, canceller);
    }
    --waiting_count_;
    const auto it = waiting_.find(key);
    std::erase(it->second, &waiter);
    if (it->second.empty()) waiting_.erase(it);
    if (found && found->state == State::Pending) {
      if (found->expires_ms <= clock_.wall_ms()) co_return fail(Errc::NotFound, "nothing was uploaded in time");
      if (why == Wake::Cancelled) co_return fail(haechi::Errc::Cancelled, "the client went away");
      co_return fail(Errc::NotYetUploaded, "the content has not been uploaded yet");
    }
  }
  if (found && found->state == State::Quarantined) co_return fail(Errc::Quarantined, "this media is not available");
  co_return found;
}

Task<Result<Opened>> Media::open(MediaId id, Duration timeout, Canceller* canceller) {
  CO_TRY(Record record, co_await find_ready(std::move(id), timeout, canceller));
  auto type = record.content_type;
  const auto sha256 = record.sha256;
  const auto bytes = record.bytes;
  co_return Opened{std::move(record), std::move(type), sha256, bytes, nullptr};
}

Task<Result<FilePtr>> Media::file(Opened opened, Part part) {
  if (opened.file) co_return std::move(opened.file);
  co_return co_await blobs_.open(opened.sha256, part);
}

Task<Result<Record>> Media::record(MediaId id) { co_return co_await find(std::move(id)); }

Task<Result<Usage>> Media::usage(std::string user) {
  co_return read_answer(co_await readers_.read(
      [user = std::move(user)](store::Connection& c) -> Result<Usage> { return repo::usage(c, user); }));
}

// Administration.

Task<Result<Page>> Media::list(std::string user, std::size_t limit, std::optional<std::string> from) {
  limit = std::clamp<std::size_t>(limit, 1, kPageMax);
  WallMs before_ms = std::numeric_limits<WallMs>::max();
  std::string before_id;
  if (from) {
    const auto dot = from->find('.');
    const auto ms = parse_int(std::string_view(*from).substr(0, dot));
    if (!ms || dot == std::string::npos) co_return fail(haechi::Errc::Invalid, "from is not a token of this list");
    before_ms = *ms;
    before_id = from->substr(dot + 1);
  }
  auto records = read_answer(co_await readers_.read(
      [user = std::move(user), limit, before_ms, before_id](store::Connection& c) -> Result<std::vector<Record>> {
        return repo::list(c, user, limit + 1, before_ms, before_id);
      }));
  if (!records) co_return std::unexpected(std::move(records.error()));
  Page page{std::move(*records), std::nullopt};
  if (page.records.size() > limit) {
    page.records.pop_back();
    page.next = std::to_string(page.records.back().created_ms) + '.' + page.records.back().id.id;
  }
  co_return page;
}

void erase_record(journal::Tx& tx, const Record& record, std::vector<Sha256>& unused) {
  auto& c = tx.sql();
  repo::erase(c, record.id);
  if (record.state == State::Pending) {
    repo::add_usage(c, record.owner, 0, 0, -1);
  } else {
    repo::add_usage(c, record.owner, -static_cast<std::int64_t>(record.bytes), -1, 0);
    if (repo::drop_ref(c, record.sha256)) {
      unused.push_back(record.sha256);
      std::ranges::copy(repo::erase_thumbnails(c, record.sha256), std::back_inserter(unused));
    }
  }
  tx.append(kDeleted, record.id.key(), to_text(json::object{{"owner", record.owner}}));
}

Task<Result<>> Media::remove(MediaId id) {
  auto unused = co_await journal_.submit([id](journal::Tx& tx) -> Result<std::vector<Sha256>> {
    const auto record = repo::find(tx.sql(), id);
    if (!record) return fail(Errc::NotFound, "there is no media " + id.uri());
    std::vector<Sha256> out;
    erase_record(tx, *record, out);
    return out;
  });
  if (!unused) co_return std::unexpected(std::move(unused.error()));
  scope_.spawn(drop_in_background(std::move(*unused)));
  co_return Result<>{};
}

Task<Result<>> Media::quarantine(MediaId id, Quarantine on) {
  co_return co_await journal_.submit([id, on](journal::Tx& tx) -> Result<> {
    auto& c = tx.sql();
    const auto record = repo::find(c, id);
    if (!record || record->state == State::Pending)
      return fail(Errc::NotFound, "there is no content under " + id.uri());
    const bool now = on == Quarantine::On;
    repo::set_quarantined(c, record->sha256, now);
    repo::set_state_of_content(c, record->sha256, now ? State::Complete : State::Quarantined,
                               now ? State::Quarantined : State::Complete);
    const auto data = to_text(json::object{{"quarantined", now}});
    for (const auto& one : repo::with_content(c, record->sha256)) tx.append(kQuarantineChanged, one.key(), data);
    return {};
  });
}

Task<Result<std::uint64_t>> Media::purge(WallMs before_ms, std::optional<std::string> user) {
  struct Batch {
    std::uint64_t records = 0;
    std::vector<Sha256> unused;
  };
  std::uint64_t total = 0;
  while (true) {
    auto batch = co_await journal_.submit([before_ms, user](journal::Tx& tx) -> Result<Batch> {
      Batch out;
      for (const auto& id : repo::created_before(tx.sql(), before_ms, user, kPurgeBatch)) {
        erase_record(tx, repo::find(tx.sql(), id).value(), out.unused);
        ++out.records;
      }
      return out;
    });
    if (!batch) co_return std::unexpected(std::move(batch.error()));
    total += batch->records;
    const bool more = batch->records == kPurgeBatch;
    CO_TRY_DO(co_await drop_unreferenced(std::move(batch->unused)));
    if (!more) co_return total;
  }
}

}  // namespace haechi::blob
