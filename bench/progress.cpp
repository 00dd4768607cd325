#include "bench/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "bench/engine.hpp"

namespace haechi::bench {

Progress::Progress() : terminal_(::isatty(STDERR_FILENO) != 0) {}

void Progress::update(const std::string& text) {
  const auto now = now_ns();
  if (now < next_) return;
  next_ = now + (terminal_ ? kSecond / 10 : kSecond);
  if (!terminal_) {
    fmt::print(stderr, "{}\n", text);
    return;
  }
  fmt::print(stderr, "\r{}{}", text, std::string(shown_ > text.size() ? shown_ - text.size() : 0, ' '));
  std::fflush(stderr);
  shown_ = text.size();
}

void Progress::keep(const std::string& text) {
  clear();
  fmt::print(stderr, "{}\n", text);
  next_ = 0;
}

void Progress::clear() {
  if (terminal_ && shown_ > 0) {
    fmt::print(stderr, "\r{}\r", std::string(shown_, ' '));
    std::fflush(stderr);
  }
  shown_ = 0;
}

}  // namespace haechi::bench
