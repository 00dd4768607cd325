#pragma once
// Private to net/: what a connection still has to send, gathered into as few system calls as it takes.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "net/http.hpp"
#include "net/transport.hpp"

namespace haechi::net {

class Output {
 public:
  /// `spare` is a string shared by all connections of a thread, whose capacity they borrow in turn.
  explicit Output(std::string& spare) : spare_(spare) {}

  bool empty() const { return at_ == parts_.size(); }
  /// Where text may be appended to what is sent next.
  std::string& text();
  /// Small bodies are copied beside their head; larger ones are sent from where they are.
  void body(std::variant<std::string, SharedBytes, FileRange> body);

  /// Sends until all is gone (Ok), the socket is full (Blocked) or broken. `progress` counts the bytes that left.
  Io flush(Transport& transport, std::uint64_t& progress);
  void clear();

 private:
  using Data = std::variant<std::string, SharedBytes, FileRange>;
  struct Part {
    Data data;
    std::uint64_t sent = 0;
    bool open = false;  ///< text may still be appended
  };
  static std::string_view bytes_of(const Part& part);
  IoResult send_some(Transport& transport);
  void advance(std::uint64_t bytes);

  std::string& spare_;
  std::vector<Part> parts_;
  std::size_t at_ = 0;
};

}  // namespace haechi::net
