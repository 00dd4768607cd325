#include <chrono>

#include "store/store.hpp"

namespace haechi::store {
namespace {

using std::chrono::steady_clock;

constexpr auto kTriesFor = std::chrono::seconds(10);

}  // namespace

Readers::Readers(Loop& loop, Database& db, std::size_t threads, std::size_t queue_max)
    : db_(db), pool_(loop, "reader", threads, queue_max) {}

std::unique_ptr<Connection> Readers::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      auto c = std::move(free_.back());
      free_.pop_back();
      return c;
    }
  }
  return db_.connect(Access::ReadOnly);
}

void Readers::give(std::unique_ptr<Connection> c) {
  if (c->lost()) return;
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(c));
}

Instant Readers::deadline() { return steady_clock::now() + kTriesFor; }

bool Readers::may_try(Instant deadline) const {
  // An engine of this process's own is never out of reach: there a read that waited long is read.
  return !db_.shared() || steady_clock::now() < deadline;
}

void Readers::forget_connections() {
  std::vector<std::unique_ptr<Connection>> gone;
  const std::lock_guard lock(mutex_);
  gone.swap(free_);
}

Error Readers::unreachable() {
  return {Errc::Unavailable, "the database cannot be reached just now", R"("retry_after_ms":1000)"};
}

}  // namespace haechi::store
