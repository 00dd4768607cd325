#pragma once
// POST /search. There is no index of words: writing one would cost every message
// random keys. A search reads the searcher's rooms newest first on reader
// threads, so many rows and no more, and gives a token to go on from.

#include <map>

#include "messenger/api/gate.hpp"
#include "messenger/history/pages.hpp"
#include "messenger/history/search_query.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// Loop thread only.
class SearchApi {
 public:
  SearchApi(Gate& gate, Rooms& rooms, Users& users, Visibility& visibility, Relations& relations,
            store::Readers& readers, const Clock& clock);
  void routes(net::Router& router);

  /// Rows that one request looks at, and in one read; reads of one request.
  static constexpr std::size_t kRowsMax = 200'000;
  static constexpr std::size_t kRowsPerRead = 10'000;
  static constexpr std::size_t kReadsMax = 40;
  /// Searches that run at the same time; others are told to come again.
  static constexpr std::size_t kRunningMax = 8;

 private:
  using Answer = Task<Result<net::Response>>;
  struct Hit {
    EventPtr event;
    Reader* reader;
    double rank;
  };
  struct Findings {
    std::map<std::int64_t, std::optional<Reader>> readers;  ///< by room; nothing where the searcher may not read
    std::vector<Hit> hits;                                  ///< of this page, in the order asked for
    std::size_t count = 0;
    std::string next_batch;  ///< empty: nothing further
  };
  Answer search(net::Request& req);
  Task<Result<>> find(const SearchQuery& query, UserPtr user, Canceller* canceller, Findings& findings);
  Task<Result<std::string>> render(const SearchQuery& query, Findings& findings, std::string device);
  Task<Result<>> append_context(std::string& out, const SearchQuery::Context& context, Hit hit, std::string device);

  Gate& gate_;
  Rooms& rooms_;
  Users& users_;
  Visibility& visibility_;
  RoomAccess access_;
  Pages pages_;
  store::Readers& readers_;
  const Clock& clock_;
  std::size_t running_ = 0;
};

}  // namespace haechi::messenger
