#include "blob/spool.hpp"

#include <algorithm>

namespace haechi::blob {
namespace {

constexpr std::size_t kReadBlock = 1024 * 1024;

void append_sum(std::string& sums, const Sha256& sum) {
  sums.append(reinterpret_cast<const char*>(sum.data()), sum.size());
}

}  // namespace

Spool::Spool(FileSystem& files, std::string path, std::uint64_t segment_bytes)
    : files_(files), path_(std::move(path)), segment_bytes_(segment_bytes) {}

void Spool::close() {
  if (fd_ >= 0) files_.close(std::exchange(fd_, -1));
}

void Spool::discard() {
  close();
  if (std::exchange(created_, false)) static_cast<void>(files_.remove(path_));
}

Result<> Spool::append(std::string_view bytes) {
  if (!created_) {
    TRY(fd_, files_.create(path_));
    created_ = true;
    if (expected_) TRY_DO(files_.reserve(fd_, *expected_));
  }
  hash_.update(bytes);
  bytes_ += bytes.size();
  TRY_DO(files_.write(fd_, bytes));
  while (segment_bytes_ > 0 && !bytes.empty()) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), segment_bytes_ - in_segment_));
    segment_hash_.update(bytes.substr(0, n));
    in_segment_ += n;
    bytes.remove_prefix(n);
    if (in_segment_ == segment_bytes_) end_segment();
  }
  return {};
}

void Spool::end_segment() {
  append_sum(segment_sums_, segment_hash_.finish());
  in_segment_ = 0;
}

Sha256 Spool::finish() {
  if (in_segment_ > 0) end_segment();
  return hash_.finish();
}

Result<> Spool::keep_as(const std::string& path) {
  close();
  TRY_DO(files_.rename(path_, path));
  created_ = false;
  return {};
}

Task<void> Spool::write_chunk(std::shared_ptr<Spool> spool, BlockingPool& pool, std::string chunk, Result<>& out) {
  out = pool_answer(co_await pool.run([spool = std::move(spool), chunk = std::move(chunk)]() mutable -> Result<> {
    TRY_DO(spool->append(chunk));
    chunk.clear();
    spool->spare_ = std::move(chunk);
    return {};
  }));
}

Task<Result<>> Spool::fill(std::shared_ptr<Spool> spool, BlockingPool& pool, ByteSource& source,
                           std::uint64_t bytes_max, std::function<std::size_t()> chunk_bytes) {
  spool->expected_ = source.size_hint();
  std::uint64_t received = 0;
  std::string chunk;
  Scope writing;
  Result<> written;  // by the chunk under way
  Result<> good;
  bool first = true;
  while (good) {
    auto part = co_await source.read();
    if (!part) {
      good = std::unexpected(std::move(part.error()));
      break;
    }
    received += part->size();
    if (received > bytes_max) {
      good = fail(Errc::TooLarge, "at most " + std::to_string(bytes_max) + " bytes are accepted");
      break;
    }
    const bool end = part->empty();
    if (chunk.empty() && !end) {
      const auto expected = spool->expected_.value_or(0) > received ? *spool->expected_ - received : 0;
      chunk.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(expected, chunk_bytes())) + part->size());
    }
    chunk.append(*part);
    const bool last = end && (first || !chunk.empty());  // an empty upload still makes its file
    if (!last && chunk.size() < chunk_bytes()) {
      if (end) break;
      continue;
    }
    co_await writing.join();
    good = std::exchange(written, {});
    if (!good) break;
    first = false;
    writing.spawn(write_chunk(spool, pool, std::exchange(chunk, std::exchange(spool->spare_, {})), written));
    if (end) break;
  }
  co_await writing.join();
  if (good) good = std::move(written);
  co_return good;
}

Task<void> Spool::drop(std::shared_ptr<Spool> spool, BlockingPool& pool) {
  if (!spool->created_) co_return;
  static_cast<void>(co_await pool.run([s = std::move(spool)]() -> Result<> {
    s->discard();
    return {};
  }));
}

Result<Sha256> checksum(FileSystem& files, int fd, std::uint64_t size) {
  Sha256Stream hash;
  std::string block(static_cast<std::size_t>(std::min<std::uint64_t>(size, kReadBlock)), '\0');
  for (std::uint64_t at = 0; at < size;) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), size - at));
    TRY(const std::size_t n, files.read(fd, {block.data(), want}, at));
    if (n == 0) break;
    hash.update({block.data(), n});
    at += n;
  }
  return hash.finish();
}

}  // namespace haechi::blob
