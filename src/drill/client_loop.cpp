#include "drill/client_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <system_error>

namespace haechi::drill {

ClientLoop::ClientLoop(const Clock& clock)
    : clock_(clock), epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !wake_) throw std::system_error(errno, std::generic_category(), "epoll");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // nobody: only to wake up
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
}

void ClientLoop::post(std::move_only_function<void()> f) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(f));
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(wake_.get(), &one, sizeof one);  // full means that it will wake anyway
}

void ClientLoop::stop() {
  stop_ = true;
  post([] {});
}

bool ClientLoop::watch(int fd, Watched& watched) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watched;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void ClientLoop::unwatch(int fd, Watched& watched) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  std::ranges::replace(ready_, &watched, static_cast<Watched*>(nullptr));
}

void ClientLoop::run_queued() {
  std::vector<std::move_only_function<void()>> posted;
  {
    const std::lock_guard lock(mutex_);
    posted.swap(posted_);
  }
  for (auto& f : posted) f();
  // One round only: what is deferred meanwhile lets sockets have their turn first.
  resuming_.swap(deferred_);
  for (const auto h : resuming_) h.resume();
  resuming_.clear();
}

void ClientLoop::run() {
  std::array<epoll_event, 256> events{};
  while (!stop_) {
    run_queued();
    timers_.fire_due(now());
    timespec timeout{};
    const timespec* wait = &timeout;
    if (deferred_.empty()) {
      const auto due = timers_.next_due();
      if (due == Instant::max()) {
        wait = nullptr;
      } else {
        const auto left = std::max<std::int64_t>(0, (due - now()).count());
        timeout = {left / 1'000'000'000, left % 1'000'000'000};
      }
    }
    const int n = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), wait, nullptr);
    if (n < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "epoll_pwait2");
    ready_.clear();
    for (int i = 0; i < n; ++i) ready_.push_back(static_cast<Watched*>(events[static_cast<std::size_t>(i)].data.ptr));
    for (std::size_t i = 0; i < ready_.size(); ++i) {
      if (ready_[i]) {
        ready_[i]->on_ready(events[i].events);
      } else if (!events[i].data.ptr) {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
      }
    }
    ready_.clear();
  }
  stop_ = false;
}

}  // namespace haechi::drill
