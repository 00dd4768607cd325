// This file is a program of its own in all but name: it uses Asio and Beast header-only,
// so that the generator needs none of the server's modules.
#undef BOOST_ASIO_SEPARATE_COMPILATION
#undef BOOST_BEAST_SEPARATE_COMPILATION

#include "bench/ceiling_beast.hpp"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <ctime>
#include <memory>
#include <thread>

#include "bench/engine.hpp"
#include "bench/progress.hpp"

namespace haechi::bench {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Socket = asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>;

constexpr std::size_t kConnections = 64;

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(Socket socket) : socket_(std::move(socket)) {
    response_.version(11);
    response_.result(http::status::ok);
    response_.set(http::field::content_type, "application/json");
    response_.body() = R"({"event_id":"$0123456789012345678901234567890123456789012"})";
    response_.prepare_payload();
  }
  void read() {
    request_ = {};
    http::async_read(socket_, buffer_, request_, [self = shared_from_this()](auto error, std::size_t) {
      if (!error) self->write();
    });
  }

 private:
  void write() {
    http::async_write(socket_, response_, [self = shared_from_this()](auto error, std::size_t) {
      if (!error) self->read();
    });
  }
  Socket socket_;
  boost::beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::string_body> response_;
};

class Server {
 public:
  Server() : io_(1), acceptor_(io_, {asio::ip::make_address_v4("127.0.0.1"), 0}) {
    port_ = acceptor_.local_endpoint().port();
    accept();
    thread_ = std::thread([this] { io_.run(); });
    ::pthread_getcpuclockid(thread_.native_handle(), &cpu_);
  }
  ~Server() {
    io_.stop();
    thread_.join();
  }
  unsigned short port() const { return port_; }
  double cpu_s() const {
    timespec t{};
    ::clock_gettime(cpu_, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
  }

 private:
  void accept() {
    acceptor_.async_accept(io_.get_executor(), [this](auto error, Socket socket) {
      if (error) return;
      boost::system::error_code ignored;
      socket.set_option(asio::ip::tcp::no_delay(true), ignored);
      std::make_shared<Session>(std::move(socket))->read();
      accept();
    });
  }
  asio::io_context io_;
  asio::basic_socket_acceptor<asio::ip::tcp, asio::io_context::executor_type> acceptor_;
  unsigned short port_ = 0;
  clockid_t cpu_{};
  std::thread thread_;
};

/// Sends bodies of a chat message's size, closed loop.
class Caller final : public Handler {
 public:
  Caller(Engine& engine, const Endpoint& endpoint)
      : text_(fmt::format("PUT /_matrix/client/v3/rooms/!0123456789%3Alocalhost/send/m.room.message/hb0123456789abcdef "
                          "HTTP/1.1\r\nHost: {}\r\n"
                          "Authorization: Bearer 0123456789012345678901234567890\r\nContent-Type: "
                          "application/json\r\nContent-Length: 141\r\n\r\n{}",
                          endpoint.host, std::string(141, 'x'))) {
    for (std::size_t i = 0; i < kConnections; ++i) {
      connections_.push_back(std::make_unique<Connection>(engine, endpoint, *this, i));
      connections_.back()->send(text_);
    }
  }
  std::uint64_t answers = 0;
  Histogram latencies;

 private:
  void on_response(Connection& connection, const Response& response) override {
    answers += response.status == 200;
    latencies.add(now_ns() - connection.sent_at());
    connection.send(text_);
  }
  std::string text_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace

void measure_beast(WorkloadResult& result, Progress& progress, double seconds) {
  Server server;
  const auto endpoint = Endpoint::parse(fmt::format("http://127.0.0.1:{}", server.port()));
  Engine engine;
  Caller caller(engine, endpoint);
  engine.on_second = [&](std::int64_t) {
    progress.update(fmt::format("  Beast hello-world: {} answers", caller.answers));
  };
  engine.run_until(now_ns() + kSecond / 2);
  caller.answers = 0;
  caller.latencies = {};
  const auto start = now_ns();
  const double cpu = server.cpu_s();
  engine.run_until(start + static_cast<std::int64_t>(seconds * 1e9));
  const double wall = static_cast<double>(now_ns() - start) / 1e9;
  const auto answers = static_cast<double>(caller.answers);
  result.add("ceiling.beast", answers / wall, "req/s",
             fmt::format("bare Beast hello-world over HTTP, one server thread, {} connections of this generator, "
                         "requests and answers of a send's size",
                         kConnections));
  if (answers > 0)
    result.add("ceiling.beast_cpu", (server.cpu_s() - cpu) * 1e6 / answers, "us/req", "CPU of the Beast thread");
  result.add("ceiling.beast_latency", caller.latencies, "one request");
}

}  // namespace haechi::bench
