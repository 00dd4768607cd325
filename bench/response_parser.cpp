#include "bench/response_parser.hpp"

#include <algorithm>
#include <charconv>

namespace haechi::bench {
namespace {

bool equals_lower(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower,
                            [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b; });
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

bool ends_with_lower(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() && equals_lower(text.substr(text.size() - lower.size()), lower);
}

}  // namespace

void ResponseParser::reset(BodyMode mode) {
  state_ = State::Head;
  mode_ = mode;
  status_ = 0;
  keep_alive_ = true;
  left_ = 0;
  body_bytes_ = 0;
  head_.clear();
  line_.clear();
  // A herd of long polls must not each keep the largest answer it ever saw.
  if (kept_.capacity() > 64 * 1024) kept_ = {};
  kept_.clear();
  whole_ = {};
}

bool ResponseParser::parse_head(std::string_view head) {
  if (head.size() < 12 || !head.starts_with("HTTP/1.")) return false;
  keep_alive_ = head[7] != '0';
  const auto [end, error] = std::from_chars(head.data() + 9, head.data() + 12, status_);
  if (error != std::errc{} || end != head.data() + 12) return false;

  bool chunked = false;
  bool has_length = false;
  std::uint64_t length = 0;
  for (auto at = head.find("\r\n"); at != std::string_view::npos && at + 2 < head.size();) {
    const auto start = at + 2;
    at = head.find("\r\n", start);
    const auto line = head.substr(start, at == std::string_view::npos ? at : at - start);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto name = line.substr(0, colon);
    if (name.size() == 14 && equals_lower(name, "content-length")) {
      const auto value = trim(line.substr(colon + 1));
      const auto [stop, bad] = std::from_chars(value.data(), value.data() + value.size(), length);
      if (bad != std::errc{} || stop != value.data() + value.size()) return false;
      has_length = true;
    } else if (name.size() == 17 && equals_lower(name, "transfer-encoding")) {
      chunked = ends_with_lower(trim(line.substr(colon + 1)), "chunked");
    } else if (name.size() == 10 && equals_lower(name, "connection")) {
      const auto value = trim(line.substr(colon + 1));
      if (equals_lower(value, "close")) keep_alive_ = false;
      if (equals_lower(value, "keep-alive")) keep_alive_ = true;
    }
  }

  if (status_ >= 100 && status_ < 200) {  // an interim response; the real one follows
    status_ = 0;
    head_.clear();
    state_ = State::Head;
  } else if (status_ == 204 || status_ == 304) {
    state_ = State::Done;
  } else if (chunked) {
    state_ = State::ChunkSize;
  } else if (has_length) {
    left_ = length;
    state_ = length == 0 ? State::Done : State::Fixed;
  } else {
    keep_alive_ = false;
    state_ = State::UntilClose;
  }
  return true;
}

std::size_t ResponseParser::take_body(std::string_view in, std::uint64_t limit) {
  const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), limit));
  body_bytes_ += n;
  if (mode_ == BodyMode::Keep) kept_.append(in.substr(0, n));
  return n;
}

void ResponseParser::end_of_line() {
  if (state_ == State::ChunkSize) {
    const auto size = trim(std::string_view(line_).substr(0, line_.find(';')));
    const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), left_, 16);
    if (size.empty() || error != std::errc{} || end != size.data() + size.size()) {
      state_ = State::Bad;
    } else {
      state_ = left_ == 0 ? State::Trailer : State::ChunkData;
    }
  } else if (state_ == State::ChunkEnd) {
    state_ = line_.empty() ? State::ChunkSize : State::Bad;
  } else {
    if (line_.empty()) state_ = State::Done;
  }
  line_.clear();
}

void ResponseParser::take_line_byte(char c) {
  if (c == '\n') {
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    end_of_line();
  } else if (line_.size() >= kHeadMax) {
    state_ = State::Bad;
  } else {
    line_.push_back(c);
  }
}

std::size_t ResponseParser::feed(std::string_view in) {
  std::size_t used = 0;
  while (used < in.size() && state_ != State::Done && state_ != State::Bad) {
    const auto rest = in.substr(used);
    switch (state_) {
      case State::Head: {
        if (head_.empty()) {
          const auto end = rest.find("\r\n\r\n");
          if (end != std::string_view::npos) {
            used += end + 4;
            if (!parse_head(rest.substr(0, end + 2))) state_ = State::Bad;
            if (state_ == State::Fixed && mode_ == BodyMode::Keep && in.size() - used >= left_) {
              whole_ = in.substr(used, static_cast<std::size_t>(left_));
              body_bytes_ = left_;
              used += whole_.size();
              state_ = State::Done;
            }
            break;
          }
        }
        // The end may lie across two pieces: look again from three bytes back.
        const auto from = head_.size() < 3 ? 0 : head_.size() - 3;
        const auto before = head_.size();
        head_.append(rest.substr(0, kHeadMax));
        const auto end = head_.find("\r\n\r\n", from);
        if (end == std::string::npos) {
          used += head_.size() - before;
          if (head_.size() >= kHeadMax) state_ = State::Bad;
          break;
        }
        used += end + 4 - before;
        head_.resize(end + 2);
        const auto head = std::move(head_);
        head_.clear();
        if (!parse_head(head)) state_ = State::Bad;
        break;
      }
      case State::Fixed: {
        const auto n = take_body(rest, left_);
        used += n;
        left_ -= n;
        if (left_ == 0) state_ = State::Done;
        break;
      }
      case State::ChunkData: {
        const auto n = take_body(rest, left_);
        used += n;
        left_ -= n;
        if (left_ == 0) state_ = State::ChunkEnd;
        break;
      }
      case State::UntilClose: used += take_body(rest, rest.size()); break;
      case State::ChunkSize:
      case State::ChunkEnd:
      case State::Trailer:
        take_line_byte(rest.front());
        ++used;
        break;
      case State::Done:
      case State::Bad: break;
    }
  }
  return used;
}

void ResponseParser::finish() {
  if (state_ == State::Done) return;
  state_ = state_ == State::UntilClose ? State::Done : State::Bad;
}

}  // namespace haechi::bench
