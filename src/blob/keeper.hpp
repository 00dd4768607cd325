#pragma once
// Where contents are kept that every site must be able to read: rows of the replicated
// database, or objects of an S3 store. A keeper knows nothing but names and bytes; what a name
// stands for, and whether somebody still needs it, says the index in the database (contents.hpp).

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "blob/error.hpp"
#include "blob/file_system.hpp"

namespace haechi::blob {

/// A file of this machine whose bytes are to be kept.
struct Original {
  FileSystem& files;
  int fd = -1;
  std::uint64_t bytes = 0;
};

/// Blocking; any thread. Lost connections and passing failures are tried again until the
/// keeper's own deadline, then it is base Errc::Unavailable.
class Keeper {
 public:
  virtual ~Keeper() = default;
  /// As it stands in the index; never changes.
  virtual std::string_view kind() const = 0;

  /// Says that the writer of `name` lives; an error when the name was taken from it.
  using Alive = std::function<Result<>()>;
  /// Answers once all of it is safe in two sites, or as safe as the keeper can make it.
  /// `name` is new and never used again, so that a late packet of a writer believed dead
  /// cannot damage another's content. Calls `alive` at least once in a minute.
  virtual Result<> write(const std::string& name, const Original& from, const Alive& alive) = 0;

  using Sink = std::function<Result<>(std::string_view bytes)>;
  /// Gives `sink` those bytes in order, in pieces. May fail after some of them; what came is
  /// not checked. Errc::NotFound when there is nothing under the name, or less.
  virtual Result<> read(const std::string& name, std::uint64_t offset, std::uint64_t length, const Sink& sink) = 0;

  /// Removes it, whole or half written; no error when it is not there.
  virtual Result<> remove(const std::string& name) = 0;
};

}  // namespace haechi::blob
