#pragma once
// One keep-alive connection of a client to one node, with one request at a time.

#include <netinet/in.h>

#include <memory>
#include <string>
#include <string_view>

#include "drill/client_loop.hpp"

namespace haechi::drill {

/// Where a node listens.
struct Address {
  sockaddr_in where{};
  /// `http://IPv4:port`; Errc::Invalid for anything else.
  static Result<Address> parse(std::string_view url);
};

class Link final : private Watched {
 public:
  enum class State {
    Idle,
    Waiting,  ///< connecting, or for the answer
    Answered,
    Refused,  ///< no connection came about
    Broken,   ///< it ended before the answer, or the answer was no HTTP
  };

  Link(ClientLoop& loop, const Address& address);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Sends a request; the one before must have ended or is forgotten. `request` and `body`
  /// must stay until the answer. A kept connection that the node closed meanwhile is opened anew once.
  void begin(std::string_view request, std::string_view body = {});
  /// Until the answer, an end of any kind, or `deadline`: then Waiting. One waiter at a time.
  Task<State> wait(Instant deadline);

  State state() const { return state_; }
  bool connected() const { return connected_; }
  int status() const;
  /// Of the last answer; until the next begin().
  std::string_view body() const;
  /// Ends the connection; an answer under way is lost.
  void close();

 private:
  struct Parser;
  void on_ready(std::uint32_t events) override;
  void open();
  void write_some();
  void read_some();
  void take(std::string_view in);
  void ended(State state);

  ClientLoop& loop_;
  const Address address_;
  Waiter waiter_;
  Fd socket_;
  State state_ = State::Idle;
  bool connected_ = false;
  bool reused_ = false;  ///< the request went out on a connection that had carried another
  Instant begun_{};
  std::string_view request_, body_;
  std::size_t written_ = 0;
  std::unique_ptr<Parser> parser_;
};

}  // namespace haechi::drill
