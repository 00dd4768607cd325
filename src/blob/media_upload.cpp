// Reserving ids and taking content in.

#include <algorithm>

#include "base/json.hpp"
#include "base/log.hpp"
#include "blob/media_detail.hpp"

namespace haechi::blob {
namespace {

constexpr std::size_t kIdLength = 24;
constexpr std::string_view kIdAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kTextBytesMax = 255;

bool is_plain(std::string_view text) {
  return is_valid_utf8(text) &&
         std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// What cannot be stored or sent back as it is, is dropped: it is only a hint for people.
UploadInfo cleaned(UploadInfo info) {
  if (info.content_type.empty() || info.content_type.size() > kTextBytesMax || !is_plain(info.content_type)) {
    info.content_type = "application/octet-stream";
  }
  if (!is_plain(info.name)) info.name.clear();
  if (info.name.size() > kTextBytesMax) {
    std::size_t cut = kTextBytesMax;
    while (cut > 0 && (static_cast<unsigned char>(info.name[cut]) & 0xc0) == 0x80) --cut;
    info.name.resize(cut);
  }
  return info;
}

Result<> may_fill(const std::optional<Record>& record, const std::string& user, WallMs now) {
  if (!record) return fail(Errc::NotFound, "there is no such reserved media id");
  if (record->owner != user) return fail(Errc::NotOwner, "the media id was reserved by another user");
  if (record->state != State::Pending) return fail(Errc::CannotOverwrite, "the media has content already");
  if (record->expires_ms <= now) return fail(Errc::Expired, "the reserved media id has expired");
  return {};
}

Result<> within_quota(store::Connection& c, std::string_view user, std::uint64_t more, std::uint64_t max) {
  if (max == 0 || repo::usage(c, user).bytes + more <= max) return {};
  return fail(Errc::QuotaExceeded, "the user's media may add up to " + std::to_string(max) + " bytes");
}

/// The content's counters and the feed; the same for both ways of uploading.
void count_in(journal::Tx& tx, Record& record) {
  auto& c = tx.sql();
  repo::add_ref(c, record.sha256, record.bytes, tx.wall_ms());
  record.state = repo::blob(c, record.sha256)->quarantined ? State::Quarantined : State::Complete;
}

void tell_uploaded(journal::Tx& tx, const Record& record) {
  tx.append(kUploaded, record.id.key(),
            to_text(json::object{{"owner", record.owner},
                                 {"sha256", to_hex(record.sha256)},
                                 {"bytes", record.bytes},
                                 {"content_type", record.content_type}}));
}

}  // namespace

std::string Media::new_id() { return random_.text(kIdLength, kIdAlphabet); }

Task<Result<Reserved>> Media::create_pending(std::string user) {
  if (stopping_) co_return fail(Errc::Busy, "the server is stopping");
  Record record;
  record.id = {options_.origin, new_id()};
  record.owner = std::move(user);
  record.created_ms = clock_.wall_ms();
  record.expires_ms = record.created_ms + options_.pending_lifetime.count();
  const Reserved reserved{record.id, record.expires_ms};
  CO_TRY_DO(co_await journal_.submit(
      [record = std::move(record), max = options_.pending_per_user_max](journal::Tx& tx) -> Result<> {
        auto& c = tx.sql();
        if (repo::usage(c, record.owner).pending >= max) {
          return fail(Errc::Busy, "upload to the reserved media ids first, or wait until they expire");
        }
        repo::insert(c, record);
        repo::add_usage(c, record.owner, 0, 0, 1);
        tx.append(kReserved, record.id.key(),
                  to_text(json::object{{"owner", record.owner}, {"expires_ms", record.expires_ms}}));
        return {};
      }));
  co_return reserved;
}

Task<Result<Stored>> Media::receive(std::string user, ByteSource& source) {
  if (stopping_) co_return fail(Errc::Busy, "the server is stopping");
  if (const auto hint = source.size_hint(); hint && *hint > options_.upload_bytes_max) {
    co_return fail(Errc::TooLarge, "at most " + std::to_string(options_.upload_bytes_max) + " bytes are accepted");
  }
  if (options_.user_bytes_max > 0) {
    // Before anything is written; the command that records it decides.
    auto quota =
        co_await readers_.read([user, more = source.size_hint().value_or(0), max = options_.user_bytes_max](
                                   store::Connection& c) -> Result<> { return within_quota(c, user, more, max); });
    CO_TRY_DO(read_answer(std::move(quota)));
  }
  co_return co_await blobs_.put(source, options_.upload_bytes_max);
}

Task<Result<MediaId>> Media::upload(std::string user, UploadInfo info, ByteSource& source) {
  auto stored = co_await receive(user, source);
  if (!stored) co_return std::unexpected(std::move(stored.error()));
  info = cleaned(std::move(info));
  Record record;
  record.id = {options_.origin, new_id()};
  record.owner = std::move(user);
  record.sha256 = stored->sha256;
  record.bytes = stored->bytes;
  record.content_type = std::move(info.content_type);
  record.upload_name = std::move(info.name);
  record.created_ms = clock_.wall_ms();
  const auto id = record.id;
  auto done = co_await journal_.submit(
      [record = std::move(record), max = options_.user_bytes_max](journal::Tx& tx) mutable -> Result<> {
        auto& c = tx.sql();
        TRY_DO(within_quota(c, record.owner, record.bytes, max));
        count_in(tx, record);
        repo::insert(c, record);
        repo::add_usage(c, record.owner, static_cast<std::int64_t>(record.bytes), 1, 0);
        tell_uploaded(tx, record);
        return {};
      });
  if (!done) {
    co_await discard(stored->sha256, std::move(stored->pin));
    co_return std::unexpected(std::move(done.error()));
  }
  counters_->uploads.add();
  counters_->upload_bytes.add(stored->bytes);
  co_return id;
}

Task<Result<>> Media::upload_to(std::string user, MediaId id, UploadInfo info, ByteSource& source) {
  // Asked first so that nobody sends a large body for nothing.
  auto before = read_answer(co_await readers_.read(
      [id](store::Connection& c) -> Result<std::optional<Record>> { return repo::find(c, id); }));
  if (!before) co_return std::unexpected(std::move(before.error()));
  CO_TRY_DO(may_fill(*before, user, clock_.wall_ms()));

  auto stored = co_await receive(user, source);
  if (!stored) co_return std::unexpected(std::move(stored.error()));
  info = cleaned(std::move(info));
  auto done =
      co_await journal_.submit([id, user, info, now = clock_.wall_ms(), sha256 = stored->sha256, bytes = stored->bytes,
                                max = options_.user_bytes_max](journal::Tx& tx) -> Result<> {
        auto& c = tx.sql();
        auto record = repo::find(c, id);
        TRY_DO(may_fill(record, user, now));
        TRY_DO(within_quota(c, user, bytes, max));
        record->sha256 = sha256;
        record->bytes = bytes;
        record->content_type = info.content_type;
        record->upload_name = info.name;
        count_in(tx, *record);
        repo::complete(c, *record);
        repo::add_usage(c, user, static_cast<std::int64_t>(bytes), 1, -1);
        tell_uploaded(tx, *record);
        return {};
      });
  if (!done) {
    co_await discard(stored->sha256, std::move(stored->pin));
    co_return std::unexpected(std::move(done.error()));
  }
  counters_->uploads.add();
  counters_->upload_bytes.add(stored->bytes);
  co_return Result<>{};
}

/// What was stored for a record that was then refused.
Task<void> Media::discard(Sha256 id, Pin pin) {
  pin.drop();
  const auto unknown = [this, id] {
    return readers_.read([id](store::Connection& c) -> Result<bool> { return !repo::blob(c, id).has_value(); });
  };
  const auto removed = co_await blobs_.remove(id, unknown);
  // Housekeeping will find it.
  if (!removed) log::debug("a refused upload stays for now", {{"why", removed.error().message}});
}

}  // namespace haechi::blob
