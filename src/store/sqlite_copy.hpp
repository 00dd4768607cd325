#pragma once
// A copy of an SQLite database that somebody else may be writing to: beside the lock that keeps
// a second writer out, as a reader.

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.hpp"

namespace haechi::store {

/// Copies one committed state of the database `from` to the new file `to`. Writers are not held up,
/// but their log grows until it is done. `progress` hears of pages done and of all; may be empty.
/// The copy is synced. Errc::NotFound when `from` is not there; Errc::Io. Blocking.
Result<> copy_sqlite(const std::string& from, const std::string& to,
                     const std::function<void(std::uint64_t done, std::uint64_t all)>& progress);

/// Errc::Io with what is wrong, when the pages of the file do not hang together. Blocking.
Result<> check_sqlite(const std::string& path);

}  // namespace haechi::store
