#include "bench/engine.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <system_error>

namespace haechi::bench {
namespace {

constexpr int kAttemptsMax = 4;
constexpr std::size_t kReceiveBuffer = 1024 * 1024;

}  // namespace

std::int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::int64_t>(t.tv_sec) * kSecond + t.tv_nsec;
}

Endpoint Endpoint::parse(std::string_view url) {
  const std::string shown(url);
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) throw std::runtime_error(shown + ": only http:// addresses can be measured");
  url.remove_prefix(kScheme.size());
  Endpoint out;
  const auto slash = url.find('/');
  if (slash != std::string_view::npos) {
    out.path = std::string(url.substr(slash));
    while (out.path.ends_with('/')) out.path.pop_back();
    url = url.substr(0, slash);
  }
  out.host = std::string(url);
  const auto colon = url.rfind(':');
  const std::string name(url.substr(0, colon));
  const std::string port = colon == std::string_view::npos ? "80" : std::string(url.substr(colon + 1));
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int e = ::getaddrinfo(name.c_str(), port.c_str(), &hints, &found); e != 0) {
    throw std::runtime_error(shown + ": " + ::gai_strerror(e));
  }
  std::memcpy(&out.address, found->ai_addr, sizeof out.address);
  ::freeaddrinfo(found);
  return out;
}

Connection::Connection(Engine& engine, const Endpoint& endpoint, Handler& handler, std::size_t tag)
    : engine_(engine), endpoint_(endpoint), handler_(handler), tag_(tag) {}

Connection::~Connection() {
  engine_.cancel(timer_);
  close();
}

void Connection::send(std::string_view head, std::string_view body, BodyMode mode) {
  head_.assign(head);
  body_ = body;
  mode_ = mode;
  written_ = 0;
  attempts_ = 0;
  busy_ = true;
  sent_at_ = now_ns();
  parser_.reset(mode_);
  if (fd_ < 0) {
    open();
  } else if (connected_) {
    write_some();
  }
}

void Connection::repeat_after(std::int64_t delay_ns) {
  busy_ = true;
  timer_ = engine_.after(delay_ns, [this] {
    timer_ = 0;
    written_ = 0;
    parser_.reset(mode_);
    if (fd_ < 0) {
      open();
    } else {
      write_some();
    }
  });
}

void Connection::open() {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "socket (raise the open-file limit?)");
  ++engine_.open_connections;
  const int one = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr generic{};
  static_assert(sizeof generic == sizeof endpoint_.address);
  std::memcpy(&generic, &endpoint_.address, sizeof generic);
  connected_ = ::connect(fd_, &generic, sizeof generic) == 0;
  if (!connected_ && errno != EINPROGRESS) return broken();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = this;
  if (::epoll_ctl(engine_.epoll_, EPOLL_CTL_ADD, fd_, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
  if (connected_) write_some();
}

void Connection::close() {
  if (fd_ < 0) return;
  ::close(fd_);
  --engine_.open_connections;
  fd_ = -1;
  connected_ = false;
}

void Connection::write_some() {
  const std::size_t total = head_.size() + body_.size();
  while (written_ < total) {
    ssize_t n = 0;
    if (body_.empty()) {
      n = ::send(fd_, head_.data() + written_, total - written_, MSG_NOSIGNAL);
    } else {
      std::array<iovec, 2> parts{};
      std::size_t count = 0;
      if (written_ < head_.size()) parts[count++] = {head_.data() + written_, head_.size() - written_};
      const auto from = written_ < head_.size() ? 0 : written_ - head_.size();
      // sendmsg takes a pointer to non-const for historical reasons only.
      parts[count++] = {const_cast<char*>(body_.data()) + from, body_.size() - from};
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = count;
      n = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    }
    if (n < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR) continue;
      return broken();
    }
    written_ += static_cast<std::size_t>(n);
  }
}

void Connection::on_ready(std::uint32_t events) {
  if (!connected_) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return broken();
    if (!(events & EPOLLOUT)) return;
    connected_ = true;
    if (busy_ && timer_ == 0) write_some();
    if (fd_ < 0) return;
  } else if ((events & EPOLLOUT) && busy_ && timer_ == 0 && written_ < head_.size() + body_.size()) {
    write_some();
    if (fd_ < 0) return;
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) read_some();
}

void Connection::read_some() {
  auto& buffer = engine_.buffer_;
  while (fd_ >= 0) {
    const auto n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      return broken();
    }
    if (n == 0) {
      if (!busy_) return close();
      parser_.finish();
      if (!parser_.done()) return broken();
      close();
      return respond(parser_.status());
    }
    if (!busy_) return close();  // bytes that nobody asked for
    const std::string_view in(buffer.data(), static_cast<std::size_t>(n));
    const auto used = parser_.feed(in);
    if (parser_.failed()) return broken();
    if (parser_.done()) {
      if (used != in.size() || !parser_.keep_alive()) close();
      // The handler sends the next request, whose answer is a new edge.
      return respond(parser_.status());
    }
    // A short read has emptied the socket: what comes later is a new edge.
    if (in.size() < buffer.size()) return;
  }
}

void Connection::respond(int status) {
  busy_ = false;
  const Response response{status, parser_.body(), parser_.body_bytes()};
  handler_.on_response(*this, response);
}

void Connection::broken() {
  close();
  if (!busy_) return;
  if (++attempts_ >= kAttemptsMax) {
    parser_.reset(mode_);
    return respond(0);
  }
  ++engine_.reconnects;
  repeat_after(20 * kMillisecond * attempts_);
}

Engine::Engine() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), buffer_(kReceiveBuffer) {
  if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Engine::~Engine() { ::close(epoll_); }

void Engine::pace(std::int64_t first_ns, double interval_ns, std::function<void(std::int64_t)> fire) {
  pace_first_ = pace_next_ = first_ns;
  pace_interval_ = interval_ns;
  pace_count_ = 0;
  pace_fire_ = std::move(fire);
}

std::uint64_t Engine::after(std::int64_t delay_ns, std::function<void()> fire) {
  timers_.emplace(now_ns() + delay_ns, Timer{next_timer_, std::move(fire)});
  return next_timer_++;
}

void Engine::cancel(std::uint64_t id) {
  if (id == 0) return;
  for (auto it = timers_.begin(); it != timers_.end(); ++it) {
    if (it->second.id == id) {
      timers_.erase(it);
      return;
    }
  }
}

void Engine::fire_due(std::int64_t now) {
  while (pace_interval_ > 0 && pace_next_ <= now) {
    const auto intended = pace_next_;
    ++pace_count_;
    pace_next_ = pace_first_ + static_cast<std::int64_t>(pace_interval_ * static_cast<double>(pace_count_));
    pace_fire_(intended);
  }
  while (!timers_.empty() && timers_.begin()->first <= now) {
    auto timer = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    timer.fire();
  }
  if (now >= next_second_) {
    if (next_second_ != 0 && on_second) on_second(now);
    next_second_ = now + kSecond;
  }
}

void Engine::run_until(std::int64_t end_ns, const std::function<bool()>& stop) {
  std::array<epoll_event, 512> events{};
  for (;;) {
    const auto now = now_ns();
    fire_due(now);
    if (now >= end_ns || (stop && stop())) return;
    auto wake = std::min(end_ns, next_second_);
    if (pace_interval_ > 0) wake = std::min(wake, pace_next_);
    if (!timers_.empty()) wake = std::min(wake, timers_.begin()->first);
    const auto wait = std::max<std::int64_t>(0, wake - now_ns());
    const timespec timeout{wait / kSecond, wait % kSecond};
    const int n = ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    if (n < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "epoll_pwait2");
    for (int i = 0; i < n; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      static_cast<Connection*>(event.data.ptr)->on_ready(event.events);
    }
  }
}

}  // namespace haechi::bench
