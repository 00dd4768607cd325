#pragma once
// An index whose keys are written late and sorted.
//
// A random key in a B-tree costs a page write a row once the table is large (32
// us a row at two million rows, against 16 with keys in order). So the hot path
// writes rows by position only, and the way from a hash to its positions lives
// here: the newest entries in memory, the older ones in segments that are written
// once, sorted, and only ever appended. A segment is moved to the database in
// slices by small journal commands while the node works. After a restart the
// memory part is rebuilt by its owner from the rows past `indexed_upto()`.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/key_filter.hpp"
#include "store/store.hpp"

namespace haechi::store {

/// Keys are 64-bit hashes; what is found is verified by the caller against the row itself.
/// Loop thread only, except find_stored(), which any thread may call on its own connection.
///
/// To look something up: find_recent() first, then find_stored() below
/// `indexed_upto() + 1` as read at that moment; so nothing is missed and nothing comes twice.
class LateIndex {
 public:
  enum class Filters { Kept, None };  ///< without them maybe_stored() always says yes

  /// `id` names the index in the tables; `segment_entries` is how many entries are moved at a time.
  explicit LateIndex(int id, std::size_t segment_entries = 131'072, Filters filters = Filters::Kept);

  /// The tables; journal::Journal::migrations() includes them.
  static std::span<const Migration> migrations();

  /// Reads what has been moved. Call once, before anything else.
  void load(Connection& c);
  /// Every row up to here is in the table; the owner re-adds the later ones at start.
  std::int64_t indexed_upto() const { return indexed_upto_; }

  /// Positions must not decrease from call to call.
  void add(std::uint64_t key, std::int64_t pos);

  /// Positions under `key` still in memory, ascending: the newest `limit` of those below `to`.
  std::vector<std::int64_t> find_recent(std::uint64_t key, std::int64_t to = INT64_MAX,
                                        std::size_t limit = SIZE_MAX) const;
  /// False when the key was surely never moved to the table (by a filter kept
  /// per segment): the common answer for a new transaction id, without a read.
  bool maybe_stored(std::uint64_t key) const;
  /// Positions under `key` in the table with from <= pos < to, at most `limit`, in order
  /// (descending unless told).
  enum class Order { Ascending, Descending };
  std::vector<std::int64_t> find_stored(Connection& c, std::uint64_t key, std::int64_t from, std::int64_t to,
                                        std::size_t limit, Order order = Order::Descending) const;

  /// True when a segment is full and waits to be moved.
  bool wants_flush() const { return moving_ != nullptr || recent_.entries.size() > segment_entries_; }

  /// A part of a segment on its way to the table.
  struct Moving;
  struct Slice {
    std::shared_ptr<Moving> segment;  ///< null: nothing is to be moved
    std::size_t first = 0;
    std::size_t count = 0;
    bool last = false;  ///< ends its segment
    explicit operator bool() const { return segment != nullptr; }
  };
  /// The next slice, of about `entries` entries.
  Slice next_slice(std::size_t entries = 4096);
  /// Writes it; inside a journal command. Repeating it is harmless.
  void write_slice(Connection& c, const Slice& slice) const;
  /// After the commit, on the loop thread.
  void slice_done(const Slice& slice);

  /// The oldest segment if it lies wholly below `pos`: what prune() may delete.
  std::optional<std::int64_t> prunable(std::int64_t pos) const;
  /// Deletes it; inside a journal command. Then, on the loop thread, pruned().
  void prune(Connection& c, std::int64_t segment) const;
  void pruned(std::int64_t segment);

  std::size_t memory_entries() const;

  // Several nodes on one database: one moves, the others learn of it.
  int id() const { return id_; }
  /// A segment as its table has it. Any thread; null when there is none (any more).
  struct Moved;
  std::shared_ptr<const Moved> read_moved(Connection& c, std::int64_t number) const;
  /// Another node has moved this segment: its entries leave memory. Loop thread.
  void adopt(const Moved& moved);
  std::int64_t number_of(const Slice& slice) const;

 private:
  struct Entry {
    std::int64_t key;  ///< mixed, and signed as the database orders it
    std::int64_t pos;
    auto operator<=>(const Entry&) const = default;
  };
  /// Entries in order of position, chained by key.
  struct Recent {
    std::vector<Entry> entries;
    std::vector<std::uint32_t> earlier;  ///< the entry before with the same key, +1; 0: none
    std::vector<std::uint32_t> newest;   ///< open addressing: an entry + 1; 0: free
    void add(Entry e);
    void find(std::int64_t key, std::int64_t to, std::size_t limit, std::vector<std::int64_t>& descending) const;

   private:
    std::size_t slot_of(std::int64_t key) const;
    void grow();
  };
  struct Segment {
    std::int64_t number = 0;
    std::int64_t first_pos = 0;
    std::int64_t upto = 0;
    std::shared_ptr<const KeyFilter> filter;
  };
  using Segments = std::vector<Segment>;  ///< oldest first

  void seal();
  std::shared_ptr<const Segments> segments() const;
  void set_segments(Segments segments);
  static void search_segment(Connection& c, int id, const Segment& segment, std::int64_t key, std::int64_t from,
                             std::int64_t to, std::size_t limit, Order order, std::vector<std::int64_t>& out);

  const int id_;
  const std::size_t segment_entries_;
  const Filters filters_;
  std::int64_t indexed_upto_ = 0;
  std::int64_t next_number_ = 1;
  Recent recent_;
  std::shared_ptr<Moving> moving_;
  std::size_t moved_ = 0;
  mutable std::mutex mutex_;  ///< of the pointer only: readers take a copy
  std::shared_ptr<const Segments> stored_;
};

struct LateIndex::Moved {
  Segment segment;
};

}  // namespace haechi::store
