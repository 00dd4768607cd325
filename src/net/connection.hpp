#pragma once
// Private to net/: one client. Bytes are read into the server's scratch buffer
// and parsed at once; requests run side by side and are answered in order.
//
// Lifecycle: made by the acceptor, owned by ServerCore until close(), then by
// whatever handlers still run for it.

#include "net/output.hpp"
#include "net/request_parser.hpp"
#include "net/server_core.hpp"

namespace haechi::net {

class BodyStream;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerCore> core, asio::ip::tcp::socket socket, std::string peer);
  ~Connection();

  void start();
  /// Answers what is done, in order, with as few writes as possible.
  void flush();
  /// Idle: closes. Else the last answer says so, and long polls are cancelled.
  void drain();
  /// Cancels the waits of requests that came before `before`.
  void hurry(Instant before);
  /// At once, whatever is under way.
  void close();

  const std::string& peer() const { return peer_; }
  std::size_t slot = 0;       ///< in ServerCore::connections
  bool flush_queued = false;  ///< in ServerCore's list

 private:
  friend class BodyStream;

  /// What the next bytes are.
  enum class Phase : std::uint8_t {
    Head,
    Body,
    Stream,  ///< the handler reads them itself
    Linger,  ///< refused: read and dropped, so that the answer is not lost to a reset
    Closed,  ///< nobody wants them, only to hear of the end
  };

  // Reading (connection.cpp)
  void receive();
  void read_all();
  bool wants_bytes() const;
  void consume(std::string_view bytes);
  std::size_t parse(std::string_view bytes);
  bool parse_body(std::string_view bytes, std::size_t& at);
  void begin_request(std::string_view head);
  void head_incomplete(std::string_view bytes);
  void body_complete();
  void refuse(const Error& error);
  void end_of_input();
  void wait_read();
  void wait_write();

  // Answering (connection_answer.cpp)
  void start_handler(Exchange& exchange);
  void answer(Exchange& exchange, Response response);
  static Task<void> serve(std::shared_ptr<Connection> self, Exchange& exchange);
  void take_result(Exchange& exchange, Result<Response> result);
  void handler_failed(Exchange& exchange, const std::exception_ptr& failed);
  bool wants_gzip(Exchange& exchange) const;
  Task<void> compress(Exchange& exchange);
  void handler_done(Exchange& exchange);
  void write_answer(Exchange& exchange, bool last, Instant at);
  void write_ready_answers();
  void send_output();
  void settle();
  void end_stream(Exchange& exchange);
  void want_continue(Exchange& exchange);
  void begin_linger();

  // Deadlines (connection.cpp)
  void set_deadline();
  void deadline_passed();
  Instant now() const { return core_->loop.now(); }

  std::shared_ptr<ServerCore> core_;
  asio::ip::tcp::socket socket_;
  std::unique_ptr<Transport> transport_;
  std::string peer_;
  /// In the order of arrival, and of answering.
  std::vector<std::unique_ptr<Exchange>> exchanges_;
  Exchange* incoming_ = nullptr;  ///< the last of them while its request is incomplete
  std::optional<RequestParser> parser_;
  std::unique_ptr<BodyStream> stream_;
  std::string pending_;       ///< bytes of an incomplete head or chunk, or beyond pipelined_max
  std::size_t searched_ = 0;  ///< of pending_, for the end of the head
  Output out_;
  std::uint64_t written_ = 0;
  std::uint64_t dropped_ = 0;  ///< bytes that came when nobody wanted them

  Phase phase_ = Phase::Head;
  bool receiving_ = false;
  bool read_waiting_ = false;
  bool write_waiting_ = false;
  bool input_ended_ = false;
  bool close_after_output_ = false;
  bool linger_after_output_ = false;
  bool stream_starts_ = false;
  bool parse_again_ = false;  ///< pending_ may hold whole requests
  bool closed_ = false;

  /// The armed time is never later than the deadline; moving the deadline on is then only a store.
  TimerQueue::Timer timer_;
  Instant armed_ = Instant::max();
  Instant deadline_ = Instant::max();
  Instant phase_since_{};  ///< first byte of the head, last byte of the body, last answer
  Instant written_at_{};
};

}  // namespace haechi::net
