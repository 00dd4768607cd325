#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "net/transport.hpp"

namespace haechi::net {
namespace {

std::string openssl_says() {
  const auto code = ERR_get_error();
  ERR_clear_error();
  const char* text = code ? ERR_reason_error_string(code) : nullptr;
  return text ? text : "unknown reason";
}

int choose_http_1_1(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                    unsigned in_length, void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, kOurs, sizeof(kOurs) - 1, in, in_length) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(int socket, SSL_CTX* context) : socket_(socket), ssl_(SSL_new(context)) {
    SSL_set_fd(ssl_, socket);
    SSL_set_accept_state(ssl_);
  }
  ~TlsTransport() override { SSL_free(ssl_); }

  IoResult read(std::span<char> into) override {
    ERR_clear_error();
    std::size_t n = 0;
    const int done = SSL_read_ex(ssl_, into.data(), into.size(), &n);
    return done > 0 ? IoResult{Io::Ok, n} : failure(done, SSL_ERROR_WANT_READ);
  }

  IoResult write(std::span<const iovec> parts) override {
    std::size_t total = 0;
    for (const auto& part : parts) {
      if (part.iov_len == 0) continue;
      ERR_clear_error();
      std::size_t n = 0;
      const int done = SSL_write_ex(ssl_, part.iov_base, part.iov_len, &n);
      if (done <= 0) {
        if (total > 0) break;  // the next call finds out again
        return failure(done, SSL_ERROR_WANT_WRITE);
      }
      total += n;
      if (n < part.iov_len) break;
    }
    return {Io::Ok, total};
  }

  IoResult send_file(int file, std::uint64_t offset, std::uint64_t length) override {
    // One TLS record at a time. A repeated call reads the same bytes, as SSL_write asks.
    std::array<char, 16 * 1024> buffer;
    const auto n =
        ::pread(file, buffer.data(), std::min<std::uint64_t>(length, buffer.size()), static_cast<off_t>(offset));
    if (n <= 0) return {Io::Failed, 0};
    const iovec part{buffer.data(), static_cast<std::size_t>(n)};
    return write({&part, 1});
  }

  void shutdown_write() override {
    if (SSL_is_init_finished(ssl_)) SSL_shutdown(ssl_);
    ERR_clear_error();
    ::shutdown(socket_, SHUT_WR);
  }

  bool has_buffered() const override { return SSL_has_pending(ssl_) == 1; }
  // A record is handed out at most whole, and the next may already be in OpenSSL's hands.
  bool short_read_means_empty() const override { return false; }

 private:
  IoResult failure(int done, int plain_want) const {
    switch (const int why = SSL_get_error(ssl_, done)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE: return {why == plain_want ? Io::Blocked : Io::BlockedOther, 0};
      case SSL_ERROR_ZERO_RETURN: return {Io::Eof, 0};
      default: return {Io::Failed, 0};
    }
  }

  int socket_;
  SSL* ssl_;
};

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::create(const std::string& certificate_file,
                                                       const std::string& key_file) {
  ERR_clear_error();
  std::unique_ptr<TlsContext> out(new TlsContext(SSL_CTX_new(TLS_server_method())));
  SSL_CTX* const c = out->context_;
  if (!c) return fail(haechi::Errc::Io, "TLS cannot start: " + openssl_says());
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                             SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(c, choose_http_1_1, nullptr);
  if (SSL_CTX_use_certificate_chain_file(c, certificate_file.c_str()) != 1) {
    return fail(haechi::Errc::Io, "TLS certificate " + certificate_file + ": " + openssl_says());
  }
  if (SSL_CTX_use_PrivateKey_file(c, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail(haechi::Errc::Io, "TLS key " + key_file + ": " + openssl_says());
  }
  if (SSL_CTX_check_private_key(c) != 1) {
    return fail(haechi::Errc::Io, "TLS key " + key_file + " does not belong to certificate " + certificate_file);
  }
  return out;
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

std::unique_ptr<Transport> make_tls_transport(int socket, TlsContext& context) {
  return std::make_unique<TlsTransport>(socket, context.context_);
}

}  // namespace haechi::net
