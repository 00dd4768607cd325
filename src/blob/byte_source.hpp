#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/task.hpp"

namespace haechi::blob {

/// Bytes as they arrive from somewhere. The HTTP layer adapts its body reader to this.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// The next bytes; empty at the end. The view holds until the next call.
  virtual Task<Result<std::string_view>> read() = 0;
  /// The whole size where it is known beforehand. Not trusted.
  virtual std::optional<std::uint64_t> size_hint() const = 0;
};

/// Bytes that are in memory already.
class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string bytes) : bytes_(std::move(bytes)) {}
  Task<Result<std::string_view>> read() override {
    if (std::exchange(done_, true)) co_return std::string_view();
    co_return std::string_view(bytes_);
  }
  std::optional<std::uint64_t> size_hint() const override { return bytes_.size(); }

 private:
  std::string bytes_;
  bool done_ = false;
};

}  // namespace haechi::blob
