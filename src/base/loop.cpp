#include "base/loop.hpp"

#include <condition_variable>
#include <mutex>
#include <stdexcept>

namespace haechi {

void TimerQueue::place(std::size_t slot, Timer* timer) {
  heap_[slot] = timer;
  timer->slot_ = slot;
}

void TimerQueue::sift_up(std::size_t slot) {
  Timer* t = heap_[slot];
  while (slot > 0) {
    const std::size_t parent = (slot - 1) / 2;
    if (heap_[parent]->due_ <= t->due_) break;
    place(slot, heap_[parent]);
    slot = parent;
  }
  place(slot, t);
}

void TimerQueue::sift_down(std::size_t slot) {
  Timer* t = heap_[slot];
  while (true) {
    std::size_t child = 2 * slot + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->due_ < heap_[child]->due_) ++child;
    if (heap_[child]->due_ >= t->due_) break;
    place(slot, heap_[child]);
    slot = child;
  }
  place(slot, t);
}

void TimerQueue::arm(Timer& timer, Instant due, std::move_only_function<void()> fire) {
  if (timer.queue_) disarm(timer);
  const Instant before = next_due();
  timer.queue_ = this;
  timer.due_ = due;
  timer.fire_ = std::move(fire);
  heap_.push_back(&timer);
  sift_up(heap_.size() - 1);
  if (due < before && on_earlier) on_earlier();
}

void TimerQueue::disarm(Timer& timer) {
  if (timer.queue_ != this) return;
  const std::size_t slot = timer.slot_;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last != &timer) {
    place(slot, last);
    sift_up(slot);
    sift_down(last->slot_);
  }
  timer.queue_ = nullptr;
  timer.fire_ = nullptr;
}

void TimerQueue::fire_due(Instant now) {
  while (!heap_.empty() && heap_.front()->due_ <= now) {
    Timer& t = *heap_.front();
    auto fire = std::move(t.fire_);
    disarm(t);
    fire();
  }
}

Task<void> Loop::sleep(Duration d) {
  Waiter w(*this);
  co_await w.wait(now() + d);
}

struct ManualLoop::Queue {
  std::mutex mutex;
  std::condition_variable more;
  std::vector<std::move_only_function<void()>> posted;
};

ManualLoop::ManualLoop(ManualClock& clock) : clock_(clock), queue_(std::make_unique<Queue>()) {}
ManualLoop::~ManualLoop() = default;

void ManualLoop::post(std::move_only_function<void()> f) {
  const std::lock_guard lock(queue_->mutex);
  queue_->posted.push_back(std::move(f));
  queue_->more.notify_one();
}

void ManualLoop::defer(std::coroutine_handle<> h) { deferred_.push_back(h); }

void ManualLoop::run_ready() {
  while (true) {
    std::vector<std::move_only_function<void()>> batch;
    {
      const std::lock_guard lock(queue_->mutex);
      batch.swap(queue_->posted);
    }
    auto handles = std::exchange(deferred_, {});
    if (batch.empty() && handles.empty() && timers_.next_due() > clock_.now()) return;
    for (auto& f : batch) f();
    for (auto h : handles) h.resume();
    timers_.fire_due(clock_.now());
  }
}

void ManualLoop::advance(Duration d) {
  const Instant end = clock_.now() + d;
  run_ready();
  while (timers_.next_due() <= end) {
    if (timers_.next_due() > clock_.now()) clock_.advance(timers_.next_due() - clock_.now());
    run_ready();
  }
  if (end > clock_.now()) clock_.advance(end - clock_.now());
  run_ready();
}

void ManualLoop::run_until(const std::function<bool()>& done) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  run_ready();
  while (!done()) {
    {
      std::unique_lock lock(queue_->mutex);
      if (!queue_->more.wait_until(lock, give_up, [&] { return !queue_->posted.empty(); })) {
        throw std::runtime_error("the loop waited ten seconds for another thread");
      }
    }
    run_ready();
  }
}

}  // namespace haechi
