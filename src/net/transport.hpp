#pragma once
// Private to net/: bytes in and out of one non-blocking socket, plain or TLS. It
// never waits; the connection waits for readiness and calls again. A TLS session
// so costs what OpenSSL keeps and no buffers besides.

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.hpp"

struct ssl_ctx_st;

namespace haechi::net {

enum class Io : std::uint8_t {
  Ok,
  Blocked,       ///< wait until the socket is readable (read) or writable (write)
  BlockedOther,  ///< TLS: a read must first write, or the other way round
  Eof,
  Failed,
};

struct IoResult {
  Io io = Io::Ok;
  std::size_t bytes = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual IoResult read(std::span<char> into) = 0;
  virtual IoResult write(std::span<const iovec> parts) = 0;
  /// Sends up to `length` bytes of the file.
  virtual IoResult send_file(int file, std::uint64_t offset, std::uint64_t length) = 0;
  /// Tells the peer that no more will come.
  virtual void shutdown_write() = 0;
  /// True when bytes have been taken from the socket that read() has not handed out.
  virtual bool has_buffered() const = 0;
  /// True when a read that filled less than its buffer has emptied the socket.
  virtual bool short_read_means_empty() const = 0;
};

/// Server-side TLS settings: 1.2 or later, ALPN http/1.1.
class TlsContext {
 public:
  /// Errc::Io names the file and what OpenSSL said of it.
  static Result<std::unique_ptr<TlsContext>> create(const std::string& certificate_file, const std::string& key_file);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

 private:
  friend std::unique_ptr<Transport> make_tls_transport(int, TlsContext&);
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
};

/// Neither owns the socket. SIGPIPE must be ignored in the process.
std::unique_ptr<Transport> make_plain_transport(int socket);
/// The handshake happens within the first reads.
std::unique_ptr<Transport> make_tls_transport(int socket, TlsContext& context);

}  // namespace haechi::net
