#pragma once
// Connections for work that blocks: whoever meets a lost connection starts again on a new one,
// until a deadline. So a request waits while the database moves to another site, and succeeds.

#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <vector>

#include "blob/error.hpp"
#include "store/store.hpp"

namespace haechi::blob {

/// Any thread; each call uses a connection of its own. At most as many are open as calls run.
class Sessions {
 public:
  Sessions(store::Database& db, Duration patience) : db_(db), patience_(patience) {}

  /// `f(Connection&) -> Result<T>` inside one transaction, committed when there is a value. It
  /// runs again when the connection is lost, even in the commit: it must come to the same when
  /// its first run was committed already. Errc::Io for what the database refuses; base
  /// Errc::Unavailable when it cannot be reached in time.
  template <class F>
  auto run(F&& f) -> std::invoke_result_t<F&, store::Connection&> {
    std::invoke_result_t<F&, store::Connection&> out = fail(Errc::Io, "not run");
    const auto ran = transact([&](store::Connection& c) {
      out = f(c);
      return out.has_value();
    });
    if (!ran) return std::unexpected(ran.error());
    return out;
  }

 private:
  Result<> transact(const std::function<bool(store::Connection&)>& f);
  std::unique_ptr<store::Connection> take();
  void give(std::unique_ptr<store::Connection> c);

  store::Database& db_;
  const Duration patience_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<store::Connection>> free_;
};

}  // namespace haechi::blob
