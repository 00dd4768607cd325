#pragma once
// What a client began on one node and may go on with on another: a step of
// authentication, a nonce. Rows that live for minutes, on databases that nodes
// share; a single node keeps such things in memory.

#include <optional>
#include <string>

#include "base/random.hpp"
#include "journal/journal.hpp"

namespace haechi::identity {

/// Things are known by a name that is hard to guess and that only the client has: the database
/// holds its hash, and the text encrypted under it. Loop thread only.
class HandOver {
 public:
  HandOver(store::Readers& readers, journal::Journal& journal, const Clock& clock, Random& random)
      : readers_(readers), journal_(journal), clock_(clock), random_(random) {}

  bool needed() const { return journal_.shared(); }
  /// Replaces what was kept under the name.
  Task<Result<>> keep(std::string name, std::string text, Duration lifetime);
  /// Nothing when it is not known (any more).
  Task<Result<std::optional<std::string>>> find(std::string name);
  /// Whether it was there; of those who take it at once, one hears yes.
  Task<Result<bool>> take(std::string name);

 private:
  store::Readers& readers_;
  journal::Journal& journal_;
  const Clock& clock_;
  Random& random_;
};

}  // namespace haechi::identity
