#include "net/output.hpp"

#include <array>

namespace haechi::net {
namespace {
constexpr std::size_t kCopyMax = 16 * 1024;
constexpr std::size_t kSpareMax = 256 * 1024;
constexpr std::size_t kGatherMax = 32;
/// One connection's large file must not keep the loop from the others.
constexpr std::uint64_t kTurnMax = 4 * 1024 * 1024;
}  // namespace

std::string& Output::text() {
  if (parts_.size() > at_ && parts_.back().open) return std::get<std::string>(parts_.back().data);
  parts_.push_back({.data = std::move(spare_), .open = true});
  auto& text = std::get<std::string>(parts_.back().data);
  text.clear();
  spare_.clear();
  return text;
}

void Output::body(Data body) {
  if (auto* own = std::get_if<std::string>(&body)) {
    if (own->size() <= kCopyMax) {
      text() += *own;
      return;
    }
  } else if (auto* shared = std::get_if<SharedBytes>(&body)) {
    if (!*shared) return;
    if ((*shared)->size() <= kCopyMax) {
      text() += **shared;
      return;
    }
  } else if (std::get<FileRange>(body).length == 0) {
    return;
  }
  parts_.push_back({.data = std::move(body)});
}

std::string_view Output::bytes_of(const Part& part) {
  const auto* own = std::get_if<std::string>(&part.data);
  const std::string& all = own ? *own : *std::get<SharedBytes>(part.data);
  return std::string_view(all).substr(static_cast<std::size_t>(part.sent));
}

IoResult Output::send_some(Transport& transport) {
  if (const auto* range = std::get_if<FileRange>(&parts_[at_].data)) {
    const auto sent = parts_[at_].sent;
    return transport.send_file(range->file->fd(), range->offset + sent, std::min(range->length - sent, kTurnMax));
  }
  std::array<iovec, kGatherMax> gather;
  std::size_t n = 0;
  for (std::size_t i = at_; i < parts_.size() && n < kGatherMax; ++i) {
    if (std::holds_alternative<FileRange>(parts_[i].data)) break;
    const std::string_view bytes = bytes_of(parts_[i]);
    gather[n++] = {const_cast<char*>(bytes.data()), bytes.size()};
  }
  return transport.write({gather.data(), n});
}

void Output::advance(std::uint64_t bytes) {
  while (at_ < parts_.size()) {
    Part& part = parts_[at_];
    const auto* range = std::get_if<FileRange>(&part.data);
    const std::uint64_t left = range ? range->length - part.sent : bytes_of(part).size();
    if (bytes < left) {
      part.sent += bytes;
      return;
    }
    bytes -= left;
    if (part.open) {
      auto& text = std::get<std::string>(part.data);
      if (text.capacity() <= kSpareMax && text.capacity() > spare_.capacity()) spare_ = std::move(text);
    }
    part.data = std::string();
    ++at_;
    if (bytes == 0 && at_ < parts_.size()) return;
  }
  parts_.clear();
  at_ = 0;
}

Io Output::flush(Transport& transport, std::uint64_t& progress) {
  std::uint64_t turn = 0;
  while (!empty()) {
    const IoResult r = send_some(transport);
    if (r.io != Io::Ok) return r.io;
    advance(r.bytes);
    progress += r.bytes;
    turn += r.bytes;
    if (turn >= kTurnMax && !empty()) return Io::Blocked;
  }
  return Io::Ok;
}

void Output::clear() {
  parts_ = {};
  at_ = 0;
}

}  // namespace haechi::net
