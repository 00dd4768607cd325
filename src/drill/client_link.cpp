#include "drill/client_link.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/text.hpp"

namespace haechi::drill {

namespace http = boost::beast::http;
using namespace std::chrono_literals;

namespace {
/// A node closes connections that idled too long. A request that meets this is unanswered within a
/// moment, and goes out once more on a new connection; later than that, it was really cut off.
constexpr Duration kCrossing = 50ms;
constexpr std::uint64_t kBodyMax = 256ULL * 1024 * 1024;
}  // namespace

struct Link::Parser {
  std::optional<http::response_parser<http::string_body>> response;
  std::string held;  ///< a piece of an answer that ended in the middle of something

  void reset() {
    response.emplace();
    response->eager(true);
    response->body_limit(kBodyMax);
    response->header_limit(64 * 1024);
    held.clear();
  }
};

Result<Address> Address::parse(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  const auto bad = [&] { return fail(Errc::Invalid, std::string(url) + ": expected http://IPv4:port"); };
  if (!url.starts_with(kScheme)) return bad();
  auto rest = url.substr(kScheme.size());
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos) return bad();
  const auto port = parse_int(rest.substr(colon + 1));
  Address out;
  out.where.sin_family = AF_INET;
  const std::string host(rest.substr(0, colon));
  if (!port || *port < 1 || *port > 65535 || ::inet_pton(AF_INET, host.c_str(), &out.where.sin_addr) != 1) return bad();
  out.where.sin_port = htons(static_cast<std::uint16_t>(*port));
  return out;
}

Link::Link(ClientLoop& loop, const Address& address)
    : loop_(loop), address_(address), waiter_(loop), parser_(std::make_unique<Parser>()) {}

Link::~Link() { close(); }

int Link::status() const { return parser_->response ? static_cast<int>(parser_->response->get().result_int()) : 0; }
std::string_view Link::body() const {
  return parser_->response ? std::string_view(parser_->response->get().body()) : std::string_view{};
}

void Link::begin(std::string_view request, std::string_view body) {
  if (state_ == State::Waiting) close();  // its answer would be taken for ours
  request_ = request;
  body_ = body;
  written_ = 0;
  begun_ = loop_.now();
  reused_ = static_cast<bool>(socket_);
  parser_->reset();
  waiter_.reset();
  state_ = State::Waiting;
  if (!socket_) {
    open();
  } else {
    write_some();
  }
}

Task<Link::State> Link::wait(Instant deadline) {
  if (state_ == State::Waiting) co_await waiter_.wait(deadline);
  co_return state_;
}

void Link::open() {
  socket_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  connected_ = false;
  if (!socket_) return ended(State::Refused);
  const int one = 1;
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr generic{};
  static_assert(sizeof generic == sizeof address_.where);
  std::memcpy(&generic, &address_.where, sizeof generic);
  if (::connect(socket_.get(), &generic, sizeof generic) != 0 && errno != EINPROGRESS) return ended(State::Refused);
  if (!loop_.watch(socket_.get(), *this)) ended(State::Refused);
}

void Link::close() {
  if (socket_) loop_.unwatch(socket_.get(), *this);
  socket_ = Fd();
  connected_ = false;
  if (state_ == State::Waiting) state_ = State::Idle;
}

void Link::ended(State state) {
  if (state != State::Answered) {
    const bool crossed = state == State::Broken && reused_ && parser_->held.empty() && !parser_->response->got_some() &&
                         loop_.now() - begun_ < kCrossing;
    close();
    if (crossed) {
      reused_ = false;
      written_ = 0;
      state_ = State::Waiting;
      return open();
    }
  }
  state_ = state;
  waiter_.notify();
}

void Link::write_some() {
  const std::size_t total = request_.size() + body_.size();
  while (written_ < total) {
    std::array<iovec, 2> parts{};
    std::size_t count = 0;
    // sendmsg takes pointers to non-const for historical reasons only.
    if (written_ < request_.size()) {
      parts[count++] = {const_cast<char*>(request_.data()) + written_, request_.size() - written_};
    }
    const auto from = written_ < request_.size() ? 0 : written_ - request_.size();
    if (from < body_.size()) parts[count++] = {const_cast<char*>(body_.data()) + from, body_.size() - from};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const auto n = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR) continue;
      // An answer may have come before the end, such as a refusal of a large body.
      return read_some();
    }
    written_ += static_cast<std::size_t>(n);
  }
}

void Link::on_ready(std::uint32_t events) {
  if (!socket_) return;
  if (!connected_) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return state_ == State::Waiting ? ended(State::Refused) : close();
    if (!(events & EPOLLOUT)) return;
    connected_ = true;
    if (state_ == State::Waiting) write_some();
  } else if ((events & EPOLLOUT) && state_ == State::Waiting && written_ < request_.size() + body_.size()) {
    write_some();
  }
  if (socket_ && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) read_some();
}

void Link::read_some() {
  auto& buffer = loop_.scratch();
  while (socket_) {
    const auto n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      return state_ == State::Waiting ? ended(State::Broken) : close();
    }
    if (state_ != State::Waiting) return close();  // closed by the node, or bytes that nobody asked for
    if (n == 0) {
      boost::system::error_code error;
      if (parser_->response->got_some()) parser_->response->put_eof(error);
      const bool whole = parser_->response->is_done() && !error;
      if (!whole) return ended(State::Broken);
      close();
      state_ = State::Answered;
      return waiter_.notify();
    }
    const auto size = static_cast<std::size_t>(n);
    take({buffer.data(), size});
    // A short read has emptied the socket: what comes later is a new edge.
    if (size < buffer.size()) return;
  }
}

void Link::take(std::string_view in) {
  auto& parser = *parser_->response;
  const bool held = !parser_->held.empty();
  if (held) {
    parser_->held.append(in);
    in = parser_->held;
  }
  std::size_t used = 0;
  while (used < in.size() && !parser.is_done()) {
    boost::system::error_code error;
    const auto n = parser.put(boost::asio::const_buffer(in.data() + used, in.size() - used), error);
    used += n;
    if (error == http::error::need_more) break;
    if (error) return ended(State::Broken);
    if (n == 0) break;
  }
  std::string rest(in.substr(used));
  parser_->held = std::move(rest);
  if (!parser.is_done()) return;
  const bool more = !parser_->held.empty();
  if (more || !parser.get().keep_alive()) {
    if (socket_) loop_.unwatch(socket_.get(), *this);
    socket_ = Fd();
    connected_ = false;
  }
  ended(State::Answered);
}

}  // namespace haechi::drill
