#include <boost/asio/post.hpp>
#include <csignal>

#include "net/asio_loop_impl.hpp"

namespace haechi::net {

AsioLoop::Impl::Impl(const Clock& c) : clock(c) {
  timers.on_earlier = [this] { arm_wakeup(); };
}

void AsioLoop::Impl::arm_wakeup() {
  const Instant due = timers.next_due();
  if (due == Instant::max()) return;
  // Relative, because the Clock need not be the steady clock.
  wakeup.expires_after(std::max(due - clock.now(), Duration::zero()));
  wakeup.async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;  // moved to an earlier time
    timers.fire_due(clock.now());
    arm_wakeup();
  });
}

void AsioLoop::Impl::resume_deferred() {
  // A herd wakes a part at a time: an answer that is ready, or a request that has
  // come, does not wait behind three thousand others. Resuming may defer more.
  constexpr std::size_t kPart = 1024;
  const std::size_t end = std::min(resumed + kPart, deferred.size());
  while (resumed < end) {
    const auto h = deferred[resumed++];  // a copy: the vector may grow
    h.resume();
  }
  if (resumed == deferred.size()) {
    deferred.clear();
    resumed = 0;
    return;
  }
  if (resumed >= 4096) {
    deferred.erase(deferred.begin(), deferred.begin() + static_cast<std::ptrdiff_t>(resumed));
    resumed = 0;
  }
  asio::post(context, [this] { resume_deferred(); });
}

AsioLoop::AsioLoop(const Clock& clock) : impl_(std::make_unique<Impl>(clock)) {}
AsioLoop::~AsioLoop() = default;

void AsioLoop::post(std::move_only_function<void()> f) { asio::post(impl_->context, std::move(f)); }

void AsioLoop::defer(std::coroutine_handle<> h) {
  impl_->deferred.push_back(h);
  if (impl_->deferred.size() == 1) {
    // Behind what is posted in this turn of the loop: the answer to whoever woke a herd goes out before it.
    asio::post(impl_->context,
               [impl = impl_.get()] { asio::post(impl->context, [impl] { impl->resume_deferred(); }); });
  }
}

TimerQueue& AsioLoop::timers() { return impl_->timers; }
const Clock& AsioLoop::clock() const { return impl_->clock; }

void AsioLoop::run() {
  impl_->context.run();
  // A stop() that comes between two runs is kept; one that has done its work is not.
  impl_->context.restart();
}

void AsioLoop::stop() { impl_->context.stop(); }

namespace {
void wait_for_signal(asio::signal_set& set, std::shared_ptr<const std::function<void(int)>> f) {
  set.async_wait([&set, f = std::move(f)](const boost::system::error_code& ec, int signal) {
    if (ec) return;
    (*f)(signal);
    wait_for_signal(set, f);
  });
}
}  // namespace

void AsioLoop::on_signal(std::initializer_list<int> signals, std::function<void(int)> f) {
  auto& set = impl_->signals.emplace_back(impl_->context);
  for (const int s : signals) set.add(s);
  wait_for_signal(set, std::make_shared<const std::function<void(int)>>(std::move(f)));
}

}  // namespace haechi::net
