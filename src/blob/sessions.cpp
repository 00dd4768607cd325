#include "blob/sessions.hpp"

#include <chrono>
#include <thread>

namespace haechi::blob {
namespace {

constexpr auto kPause = std::chrono::milliseconds(50);

}  // namespace

Result<> Sessions::transact(const std::function<bool(store::Connection&)>& f) {
  const auto deadline = std::chrono::steady_clock::now() + patience_;
  while (true) {
    std::unique_ptr<store::Connection> c;
    try {
      c = take();
      c->begin();
      if (f(*c)) c->commit();
      else c->rollback();
      give(std::move(c));
      return {};
    } catch (const store::ConnectionLost& e) {
      c.reset();
      if (std::chrono::steady_clock::now() >= deadline) {
        return fail(haechi::Errc::Unavailable, std::string("the database cannot be reached: ") + e.what());
      }
      std::this_thread::sleep_for(kPause);
    } catch (const store::SqlError& e) {
      // The connection goes with it: what state it is in nobody knows.
      if (c) c->rollback();
      return fail(Errc::Io, e.what());
    }
  }
}

std::unique_ptr<store::Connection> Sessions::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      auto c = std::move(free_.back());
      free_.pop_back();
      return c;
    }
  }
  return db_.connect(store::Access::ReadWrite);
}

void Sessions::give(std::unique_ptr<store::Connection> c) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(c));
}

}  // namespace haechi::blob
