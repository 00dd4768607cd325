#pragma once
// Private to net/: the body of one request, read from the socket only as fast as its handler asks.

#include "net/connection.hpp"

namespace haechi::net {

class BodyStream final : public BodyReader {
 public:
  /// `first` are bytes behind the head that have been read already.
  BodyStream(Connection& connection, Exchange& exchange, std::string first);

  Task<Result<std::string_view>> read() override;
  std::optional<std::uint64_t> size_hint() const override { return size_hint_; }

  /// The socket became readable, or the connection is gone.
  void wake() { readable_.notify(); }
  Exchange& exchange() { return exchange_; }
  /// What was read beyond the body.
  std::string take_rest() { return buffer_.substr(begin_, end_ - begin_); }

 private:
  static constexpr std::size_t kBuffer = 64 * 1024;

  Connection& connection_;
  Exchange& exchange_;
  Waiter readable_;
  std::optional<std::uint64_t> size_hint_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace haechi::net
