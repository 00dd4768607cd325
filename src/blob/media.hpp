#pragma once
// Media as users know them: ids, owners, limits, thumbnails. The bytes are in a
// BlobStore; every change of a record goes through the journal.

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/loop.hpp"
#include "base/metrics.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "blob/blob_store.hpp"
#include "blob/thumbnailer.hpp"
#include "blob/types.hpp"
#include "journal/journal.hpp"
#include "store/store.hpp"

namespace haechi::blob {

/// Feed kinds 200..249. The subject is "origin/media_id", or the blob's checksum for the last two.
inline constexpr journal::Kind kReserved = 200;
inline constexpr journal::Kind kUploaded = 201;
inline constexpr journal::Kind kDeleted = 202;
inline constexpr journal::Kind kQuarantineChanged = 203;
inline constexpr journal::Kind kThumbnailMade = 204;
inline constexpr journal::Kind kBlobDropped = 205;

struct MediaOptions {
  std::string origin;                                  ///< this server's name
  std::uint64_t upload_bytes_max = 100 * 1024 * 1024;  ///< m.upload.size
  std::uint64_t user_bytes_max = 0;                    ///< of all of a user's media; 0: no quota
  std::uint32_t pending_per_user_max = 20;
  std::chrono::milliseconds pending_lifetime{std::chrono::hours(24)};
  std::size_t records_cached = 10'000;
  std::size_t waiting_max = 10'000;  ///< open()s that wait for an upload
};

struct Reserved {
  MediaId id;
  WallMs unused_expires_at = 0;
};

/// What can be served: ask Media::file() for the bytes, once it is known which are wanted.
struct Opened {
  Record record;  ///< of the media asked for, also for a thumbnail
  std::string content_type;
  Sha256 sha256{};  ///< what the entity tag is made from
  std::uint64_t bytes = 0;
  FilePtr file;  ///< open already, with all of it; of thumbnails
};

struct Usage {
  std::uint64_t bytes = 0;
  std::uint64_t items = 0;
  std::uint64_t pending = 0;
};

struct Page {
  std::vector<Record> records;      ///< newest first
  std::optional<std::string> next;  ///< give it as `from` for the rest
};

struct ScrubReport {
  std::uint64_t checked = 0;
  std::uint64_t damaged = 0;
  std::uint64_t missing = 0;
};

enum class Quarantine { Off, On };

/// Loop thread only. Lifecycle: create (subscribes to the journal), use, stop().
/// Errors are blob::Errc unless said otherwise; those of the journal and of the
/// byte source come through unchanged. What the constructor takes must outlive it.
class Media {
 public:
  Media(Loop& loop, journal::Journal& journal, store::Readers& readers, BlobStore& blobs, Thumbnailer& thumbnailer,
        const Clock& clock, Random& random, Metrics& metrics, MediaOptions options);
  ~Media();

  /// Run before the constructor.
  static std::span<const store::Migration> migrations();

  /// Waits for work in the background; new work is refused with Errc::Busy.
  Task<void> stop();

  // Uploading.

  /// Reserves an id (MSC2246). Errc::Busy when the user holds too many unused ones.
  Task<Result<Reserved>> create_pending(std::string user);
  /// Answers once content and record are durable. Errc::TooLarge, QuotaExceeded, Busy, Io.
  Task<Result<MediaId>> upload(std::string user, UploadInfo info, ByteSource& source);
  /// Fills a reserved id. NotFound, NotOwner, CannotOverwrite, Expired, and those of upload().
  Task<Result<>> upload_to(std::string user, MediaId id, UploadInfo info, ByteSource& source);

  // Reading.

  /// Waits up to `timeout` for a reserved id's content, then Errc::NotYetUploaded
  /// (base Errc::Cancelled when the client went away). NotFound, Quarantined.
  /// Media of other servers are not fetched: NotFound.
  Task<Result<Opened>> open(MediaId id, Duration timeout, Canceller* canceller = nullptr);
  /// As open(), of a small version. The size is snapped to a standard one. Made
  /// once and kept. NotAnImage; TooLarge (an image past the pixel limit); Busy;
  /// base Errc::Timeout. On NotAnImage and TooLarge the API may serve the original.
  Task<Result<Opened>> thumbnail(MediaId id, ThumbnailSpec wanted, Duration timeout, Canceller* canceller = nullptr);
  /// A file in which at least `part` can be read. NotFound, Io, Busy; base Errc::Unavailable.
  Task<Result<FilePtr>> file(Opened opened, Part part = {});
  Task<Result<Record>> record(MediaId id);
  Task<Result<Usage>> usage(std::string user);

  // Administration.

  Task<Result<Page>> list(std::string user, std::size_t limit, std::optional<std::string> from);
  Task<Result<>> remove(MediaId id);
  /// Of the content: every record with the same bytes, also later ones.
  Task<Result<>> quarantine(MediaId id, Quarantine on);
  /// Deletes what was created before the time, of one user or of all; says how many.
  Task<Result<std::uint64_t>> purge(WallMs before_ms, std::optional<std::string> user);

  // Work in the background, called by the wiring now and then.

  /// Ends reserved ids past their time, removes files that nobody refers to any
  /// more. Every minute or so; bounded work a call.
  Task<Result<>> housekeep();
  /// Reads the next `n` blobs and compares checksums; goes round.
  Task<Result<ScrubReport>> scrub(std::size_t n);

  const MediaOptions& options() const { return options_; }

 private:
  struct Flight;
  struct Cache;
  struct Counters;
  struct Failure;

  void follow(std::span<const journal::Entry> entries);
  std::string new_id();
  Task<Result<Stored>> receive(std::string user, ByteSource& source);
  Task<void> discard(Sha256 id, Pin pin);
  Task<Result<Record>> find(MediaId id);
  Task<Result<Record>> find_ready(MediaId id, Duration timeout, Canceller* canceller);
  Task<void> make(std::shared_ptr<Flight> flight, Record record, ThumbnailSpec spec);
  Task<Result<Opened>> make_and_store(Record record, ThumbnailSpec spec);
  Task<Result<std::optional<Opened>>> stored_thumbnail(Record record, ThumbnailSpec spec);
  Task<Result<>> drop_unreferenced(std::vector<Sha256> ids);
  Task<void> drop_in_background(std::vector<Sha256> ids);
  Task<Result<>> sweep_orphans();

  Loop& loop_;
  journal::Journal& journal_;
  store::Readers& readers_;
  BlobStore& blobs_;
  Thumbnailer& thumbnailer_;
  const Clock& clock_;
  Random& random_;
  const MediaOptions options_;
  std::unique_ptr<Counters> counters_;
  std::unique_ptr<Cache> cache_;
  /// Who waits for a reserved id, by key.
  std::unordered_map<std::string, std::vector<Waiter*>, StringHash, std::equal_to<>> waiting_;
  std::size_t waiting_count_ = 0;
  std::unordered_map<std::string, std::shared_ptr<Flight>, StringHash, std::equal_to<>> flights_;
  /// Thumbnails that cannot be made, so that a broken picture is not decoded for every viewer.
  std::unordered_map<std::string, Error, StringHash, std::equal_to<>> failures_;
  Sha256 scrub_cursor_{};
  std::uint8_t sweep_prefix_ = 0;
  std::uint64_t changes_ = 0;  ///< counts removals and quarantines, so that a stale read is not cached
  bool stopping_ = false;
  Scope scope_;
};

}  // namespace haechi::blob
