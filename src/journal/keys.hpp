#pragma once
// Which keyed commands were carried out, and which are under way.

#include <deque>
#include <unordered_map>

#include "journal/journal.hpp"
#include "journal/repo_sql.hpp"

namespace haechi::journal {

/// Loop thread only.
class Keys {
 public:
  Keys(Loop& loop, store::Readers& readers, const Options& options);

  /// At start: the newest records.
  void load(store::Connection& c);
  store::LateIndex& index() { return *index_; }

  struct Name {
    std::uint64_t hash = 0;
    std::string full_key;
  };
  static Name name_of(const CommandKey& key);

  /// Waits while another holder works; Errc::Timeout when that takes too long.
  Task<Result<>> wait_for_holder(std::uint64_t hash, Instant deadline);
  bool held(std::uint64_t hash) const { return held_.contains(hash); }
  void hold(std::uint64_t hash) { held_.try_emplace(hash); }
  void release(std::uint64_t hash) noexcept;

  /// What memory knows about a name.
  struct Known {
    std::optional<std::string> answer;
    bool read_needed = false;              ///< only the database can tell
    std::vector<std::int64_t> candidates;  ///< records that are not in memory any more
  };
  Known look_up(const Name& name) const;
  /// The answer by the database, or nothing.
  Task<Result<std::optional<std::string>>> read(Name name, std::vector<std::int64_t> candidates);

  void recorded(std::uint64_t hash, std::int64_t pos, std::string full_key, std::string answer);
  /// By another node: the answer stays in the database.
  void recorded_elsewhere(std::uint64_t hash, std::int64_t pos) { recorded(hash, pos, {}, {}); }

 private:
  struct Answer {
    std::string full_key;  ///< empty: only the database has it
    std::string answer;
  };

  Loop& loop_;
  store::Readers& readers_;
  const std::size_t answers_max_;
  std::shared_ptr<store::LateIndex> index_;  ///< shared with reads that are under way
  std::unordered_map<std::uint64_t, std::vector<Waiter*>> held_;
  std::deque<Answer> answers_;     ///< the newest records, without gaps
  std::int64_t answers_from_ = 1;  ///< position of the first of them
};

}  // namespace haechi::journal
