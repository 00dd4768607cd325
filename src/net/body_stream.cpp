#include "net/body_stream.hpp"

namespace haechi::net {

BodyStream::BodyStream(Connection& connection, Exchange& exchange, std::string first)
    : connection_(connection),
      exchange_(exchange),
      readable_(connection.core_->loop),
      size_hint_(connection.parser_->content_length()),
      buffer_(std::move(first)),
      end_(buffer_.size()) {}

Task<Result<std::string_view>> BodyStream::read() {
  const auto self = connection_.shared_from_this();
  connection_.want_continue(exchange_);
  while (true) {
    if (connection_.closed_ || connection_.input_ended_) {
      co_return fail(haechi::Errc::Cancelled, "the client went away");
    }
    if (connection_.parser_->done()) co_return std::string_view{};
    if (begin_ < end_) {
      auto piece = connection_.parser_->parse_body(std::string_view(buffer_).substr(begin_, end_ - begin_));
      if (!piece) co_return std::unexpected(std::move(piece).error());
      begin_ += piece->consumed;
      exchange_.body_bytes += piece->data.size();
      if (exchange_.body_bytes > exchange_.body_bytes_max) {
        co_return fail(haechi::Errc::TooLarge, "the upload is larger than is allowed");
      }
      if (!piece->data.empty()) co_return piece->data;
      if (piece->consumed > 0) continue;
      // A chunk's header that is larger than a whole buffer is nobody's honest work.
      if (end_ - begin_ >= kBuffer) co_return fail(Errc::BadRequest, "a chunk header is too large");
    }
    buffer_.erase(0, begin_);
    end_ -= begin_;
    begin_ = 0;
    if (buffer_.size() < kBuffer) buffer_.resize(kBuffer);
    readable_.reset();
    const IoResult r = connection_.transport_->read({buffer_.data() + end_, buffer_.size() - end_});
    if (r.io == Io::Ok) {
      end_ += r.bytes;
      continue;
    }
    if (r.io == Io::Eof || r.io == Io::Failed) {
      connection_.end_of_input();
      continue;
    }
    if (r.io == Io::BlockedOther) connection_.wait_write();
    connection_.wait_read();
    const Wake why = co_await readable_.wait(connection_.now() + connection_.core_->options.body_timeout);
    if (why == Wake::Deadline) co_return fail(haechi::Errc::Timeout, "the upload stood still for too long");
  }
}

}  // namespace haechi::net
