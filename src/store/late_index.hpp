#pragma once
// An index whose keys are written late and sorted.
//
// A random key in a B-tree costs a page write a row once the table is large (32
// us a row at two million rows, against 16 with keys in order). So the hot path
// writes rows by position only, and the way from a hash to its positions lives
// here: the newest entries in memory, the older ones in the table
// `late_index(name_id, key, pos)`, moved there in sorted slices by small journal
// commands while the node works. After a restart the memory part is rebuilt by
// its owner from the rows past `indexed_upto()`.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/store.hpp"

namespace haechi::store {

/// Keys are 64-bit hashes; what is found is verified by the caller against the row itself.
/// add() and find_recent() on the loop thread; find_stored() on any connection.
class LateIndex {
 public:
  /// `id` names the index in the table; `segment_entries` is how many entries are moved at a time.
  LateIndex(int id, std::size_t segment_entries = 131'072);

  /// Reads what has been moved. Call once, before anything else.
  void load(Connection& c);
  /// Every row up to here is in the table; the owner re-adds the later ones at start.
  std::int64_t indexed_upto() const { return indexed_upto_; }

  /// Positions must not decrease from call to call.
  void add(std::uint64_t key, std::int64_t pos);

  /// Positions under `key` still in memory, ascending.
  std::vector<std::int64_t> find_recent(std::uint64_t key) const;
  /// False when the key was surely never moved to the table (by a filter kept
  /// per segment): the common answer for a new transaction id, without a read.
  bool maybe_stored(std::uint64_t key) const;
  /// Positions under `key` in the table with from <= pos < to, at most `limit`, in order
  /// (descending unless told). Thread-safe: touches only the connection.
  enum class Order { Ascending, Descending };
  std::vector<std::int64_t> find_stored(Connection& c, std::uint64_t key, std::int64_t from, std::int64_t to,
                                        std::size_t limit, Order order = Order::Descending) const;

  /// True when a segment is full and waits to be moved.
  bool wants_flush() const { return !moving_.empty() || recent_count_ >= segment_entries_; }
  /// The next slice of at most `rows` entries, sorted by key. Empty when nothing is to be moved.
  struct Slice {
    std::vector<std::pair<std::uint64_t, std::int64_t>> rows;
    bool last = false;            ///< ends its segment
    std::int64_t upto = 0;        ///< what indexed_upto becomes with the last one
    std::string filter;           ///< with the last one: the segment's filter
  };
  Slice next_slice(std::size_t rows);
  /// Writes it; inside a journal command. Repeating it is harmless.
  void write_slice(Connection& c, const Slice& slice) const;
  /// After the commit, on the loop thread: forgets the moved segment.
  void slice_done(const Slice& slice);

  std::size_t memory_entries() const;
};

}  // namespace haechi::store
