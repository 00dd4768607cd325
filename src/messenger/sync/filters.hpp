#pragma once
#include <list>
#include <memory>
#include <string>

#include "journal/journal.hpp"
#include "messenger/sync/filter.hpp"
#include "store/store.hpp"

namespace haechi::messenger {

/// Stored filters, and the parsed forms of those used lately.
class Filters {
 public:
  Filters(store::Readers& readers, journal::Journal& journal) : readers_(readers), journal_(journal) {}

  /// The id of the filter; the same definition has the same id.
  Task<Result<std::string>> define(std::string user, json::object definition);
  /// As the client gave it. Errc::NotFound.
  Task<Result<std::string>> definition(std::string user, std::string id);
  /// What `?filter=` says: inline JSON or an id; empty means everything.
  Task<Result<std::shared_ptr<const Filter>>> of_query(std::string user, std::string text);

 private:
  static constexpr std::size_t kParsedMax = 4096;
  void remember(std::string key, std::shared_ptr<const Filter> filter);
  /// Null when not parsed lately. Keys are "user/id" and definitions.
  std::shared_ptr<const Filter> known(const std::string& key);
  store::Readers& readers_;
  journal::Journal& journal_;
  std::shared_ptr<const Filter> everything_ = std::make_shared<const Filter>();
  std::list<std::pair<std::string, std::shared_ptr<const Filter>>> recent_;  ///< front: used last
  TextMap<decltype(recent_)::iterator> parsed_;
};

}  // namespace haechi::messenger
