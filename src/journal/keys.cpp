#include "journal/keys.hpp"

#include <sodium/crypto_shorthash.h>

#include <cstring>

namespace haechi::journal {
namespace {

constexpr int kIndexId = 1;
/// Equal hashes of different keys are that many at most, or somebody tries to make them.
constexpr std::size_t kCandidatesMax = 16;

/// Stored hashes depend on it. It need not be secret: what is found is compared in full.
constexpr unsigned char kHashKey[crypto_shorthash_KEYBYTES + 1] = "haechi-commands!";

}  // namespace

Keys::Keys(Loop& loop, store::Readers& readers, const Options& options)
    : loop_(loop),
      readers_(readers),
      answers_max_(options.answers_in_memory),
      index_(std::make_shared<store::LateIndex>(kIndexId, options.index_segment_entries)) {}

void Keys::load(store::Connection& c) {
  index_->load(c);
  const auto [first, last] = repo::command_bounds(c);
  // Other nodes go on while these statements run one after the other. What they record past `last`
  // comes by following them; taken here as well, it would shift every answer away from its position.
  repo::each_command_hash(c, index_->indexed_upto(), [&](std::uint64_t hash, std::int64_t pos) {
    if (pos <= last) index_->add(hash, pos);
  });
  answers_from_ = std::max(first, last - static_cast<std::int64_t>(answers_max_) + 1);
  for (auto& r : repo::commands_from(c, answers_from_)) {
    if (r.pos > last) break;
    answers_.push_back({std::move(r.full_key), std::move(r.answer)});
  }
  answers_from_ = last - static_cast<std::int64_t>(answers_.size()) + 1;
}

Keys::Name Keys::name_of(const CommandKey& key) {
  // The length keeps ("a", "bc") and ("ab", "c") apart.
  Name name{0, std::to_string(key.scope.size())};
  name.full_key.reserve(name.full_key.size() + 1 + key.scope.size() + key.key.size());
  name.full_key.append(":").append(key.scope).append(key.key);
  std::uint8_t digest[crypto_shorthash_BYTES];
  crypto_shorthash(digest, reinterpret_cast<const unsigned char*>(name.full_key.data()), name.full_key.size(),
                   kHashKey);
  static_assert(sizeof digest == sizeof name.hash);
  std::memcpy(&name.hash, digest, sizeof digest);
  return name;
}

Task<Result<>> Keys::wait_for_holder(std::uint64_t hash, Instant deadline) {
  Waiter waiter(loop_);
  held_.at(hash).push_back(&waiter);
  const Wake why = co_await waiter.wait(deadline);
  if (why == Wake::Signalled) co_return Result<>{};
  if (const auto it = held_.find(hash); it != held_.end()) std::erase(it->second, &waiter);
  co_return fail(haechi::Errc::Timeout, "the same command is still being carried out");
}

void Keys::release(std::uint64_t hash) noexcept {
  if (auto node = held_.extract(hash)) {
    for (Waiter* w : node.mapped()) w->notify();
  }
}

Keys::Known Keys::look_up(const Name& name) const {
  Known known;
  for (const auto pos : index_->find_recent(name.hash)) {
    if (pos < answers_from_) {
      known.candidates.push_back(pos);
      continue;
    }
    const auto& a = answers_[static_cast<std::size_t>(pos - answers_from_)];
    if (a.full_key.empty()) {
      known.candidates.push_back(pos);
    } else if (a.full_key == name.full_key) {
      known.answer = a.answer;
      return known;
    }
  }
  known.read_needed = !known.candidates.empty() || index_->maybe_stored(name.hash);
  return known;
}

Task<Result<std::optional<std::string>>> Keys::read(Name name, std::vector<std::int64_t> candidates) {
  // The index is shared so that a read may end after its journal.
  auto search = [index = index_, upto = index_->indexed_upto(), name = std::move(name),
                 candidates = std::move(candidates)](store::Connection& c) -> Result<std::optional<std::string>> {
    auto at = candidates;
    const auto stored = index->find_stored(c, name.hash, 0, upto + 1, kCandidatesMax);
    at.insert(at.end(), stored.begin(), stored.end());
    for (const auto pos : at) {
      auto record = repo::command_at(c, pos);
      if (record && record->full_key == name.full_key) return std::move(record->answer);
    }
    return std::nullopt;
  };
  return readers_.read(std::move(search));
}

void Keys::recorded(std::uint64_t hash, std::int64_t pos, std::string full_key, std::string answer) {
  if (pos < answers_from_ + static_cast<std::int64_t>(answers_.size())) return;  // start-up and following overlap
  index_->add(hash, pos);
  answers_.push_back({std::move(full_key), std::move(answer)});
  while (answers_.size() > answers_max_) {
    answers_.pop_front();
    ++answers_from_;
  }
}

}  // namespace haechi::journal
