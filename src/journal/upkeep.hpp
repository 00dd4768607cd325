#pragma once
// What keeps the journal's tables in shape while it works: late indexes are moved
// to their tables in slices, what is too old is deleted. Each piece is a small
// command of its own. On a shared database one node at a time does it, whichever
// comes first; a keeper that is not heard of any more is replaced.

#include <functional>
#include <optional>
#include <vector>

#include "journal/journal.hpp"
#include "journal/keys.hpp"
#include "journal/shared.hpp"

namespace haechi::journal {

/// Loop thread; the work of a chore runs on the commit thread.
class Upkeep {
 public:
  struct Chore {
    std::function<bool(Tx&)> work;  ///< inside the transaction; false: it is another node's to do
    std::function<void()> done;     ///< on the loop, where it was done
  };

  Upkeep(const Options& options, Keys& keys, const Clock& clock) : options_(options), keys_(keys), clock_(clock) {
    maintain(keys.index());
  }
  void maintain(store::LateIndex& index) { indexes_.push_back(&index); }
  const std::vector<store::LateIndex*>& indexes() const { return indexes_; }
  void load(store::Connection& c, repo::Head head);
  void share(const Shared& shared) { shared_ = &shared; }

  /// The next piece, if any is due.
  std::optional<Chore> next(Position position, std::int64_t commands);
  /// A kIndexSegment entry of another node.
  void follow(const Entry& entry);

 private:
  bool mine(Tx& tx) const;
  void announce(Tx& tx, const store::LateIndex& index, std::int64_t segment) const;

  const Options& options_;
  Keys& keys_;
  const Clock& clock_;
  const Shared* shared_ = nullptr;  ///< asked on the commit thread only
  std::vector<store::LateIndex*> indexes_;
  std::int64_t first_command_ = 0;  ///< no idempotency record is older
  Position first_feed_ = 0;         ///< no feed row is older
  Position marks_trimmed_ = 0;
};

}  // namespace haechi::journal
