#pragma once
// Just enough of HTTP/1.1 for a client that measures: status, framing
// (Content-Length, chunked, until close) and the body. A response that arrives
// whole is not copied: its body is a view into the receive buffer.

#include <cstdint>
#include <string>
#include <string_view>

namespace haechi::bench {

enum class BodyMode { Keep, CountOnly };

class ResponseParser {
 public:
  static constexpr std::size_t kHeadMax = 64 * 1024;

  /// Takes what belongs to the current response and returns how much that was.
  /// Stops at the response's end; call reset() before feeding the next one.
  std::size_t feed(std::string_view in);
  /// The peer closed the connection: ends a body that is framed by the close.
  void finish();

  bool done() const { return state_ == State::Done; }
  bool failed() const { return state_ == State::Bad; }
  /// True until the first byte of a response has been taken.
  bool untouched() const { return state_ == State::Head && head_.empty(); }
  int status() const { return status_; }
  bool keep_alive() const { return keep_alive_; }
  /// Empty in CountOnly mode. Valid until the next reset(), and for a response that
  /// was fed in one piece only as long as that piece.
  std::string_view body() const { return whole_.data() ? whole_ : std::string_view(kept_); }
  std::uint64_t body_bytes() const { return body_bytes_; }

  void reset(BodyMode mode = BodyMode::Keep);

 private:
  enum class State { Head, Fixed, ChunkSize, ChunkData, ChunkEnd, Trailer, UntilClose, Done, Bad };

  bool parse_head(std::string_view head);
  std::size_t take_body(std::string_view in, std::uint64_t limit);
  void take_line_byte(char c);
  void end_of_line();

  State state_ = State::Head;
  BodyMode mode_ = BodyMode::Keep;
  int status_ = 0;
  bool keep_alive_ = true;
  std::uint64_t left_ = 0;
  std::uint64_t body_bytes_ = 0;
  std::string head_;
  std::string line_;
  std::string kept_;
  std::string_view whole_;
};

}  // namespace haechi::bench
