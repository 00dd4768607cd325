#include "store/store.hpp"

namespace haechi::store {

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
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(c));
}

}  // namespace haechi::store
