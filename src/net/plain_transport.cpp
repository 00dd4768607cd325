#include <sys/sendfile.h>
#include <sys/socket.h>

#include <cerrno>

#include "net/transport.hpp"

namespace haechi::net {
namespace {

IoResult result_of(ssize_t n) {
  if (n >= 0) return {Io::Ok, static_cast<std::size_t>(n)};
  return {errno == EAGAIN || errno == EINTR ? Io::Blocked : Io::Failed, 0};
}

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(int socket) : socket_(socket) {}

  IoResult read(std::span<char> into) override {
    const ssize_t n = ::recv(socket_, into.data(), into.size(), 0);
    if (n == 0) return {Io::Eof, 0};
    return result_of(n);
  }

  IoResult write(std::span<const iovec> parts) override {
    if (parts.size() == 1) return result_of(::send(socket_, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL));
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts.data());
    message.msg_iovlen = parts.size();
    return result_of(::sendmsg(socket_, &message, MSG_NOSIGNAL));
  }

  IoResult send_file(int file, std::uint64_t offset, std::uint64_t length) override {
    auto at = static_cast<off_t>(offset);
    const ssize_t n = ::sendfile(socket_, file, &at, length);
    // The file is shorter than was promised: the answer cannot be completed.
    if (n == 0) return {Io::Failed, 0};
    return result_of(n);
  }

  void shutdown_write() override { ::shutdown(socket_, SHUT_WR); }
  bool has_buffered() const override { return false; }
  bool short_read_means_empty() const override { return true; }

 private:
  int socket_;
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(int socket) { return std::make_unique<PlainTransport>(socket); }

}  // namespace haechi::net
