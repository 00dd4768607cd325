#pragma once
// The messenger as app/ plugs it in: everything it owns, wired once, by
// ordinary code. What each part needs stands in its constructor.

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.hpp"
#include "base/random.hpp"
#include "blob/media.hpp"
#include "identity/identity.hpp"
#include "journal/journal.hpp"
#include "messenger/options.hpp"
#include "net/client.hpp"
#include "net/router.hpp"
#include "store/store.hpp"

namespace haechi::messenger {

/// Lifecycle: run migrations(), construct, start() before the journal starts,
/// routes(), resume() once it runs, stop() before the journal stops. Loop thread only.
class Module {
 public:
  struct Needs {
    Loop& loop;
    Random& random;
    Metrics& metrics;
    store::Readers& readers;
    journal::Journal& journal;
    identity::Identity& identity;
    blob::Media& media;
    net::Client& client;
  };
  Module(Needs needs, Options options);
  ~Module();

  /// Reads what memory needs and follows the feed.
  Result<> start(store::Database& db);
  void routes(net::Router& router);
  /// Takes up what a crash may have left half done.
  Task<void> resume();
  Task<void> stop();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace haechi::messenger
