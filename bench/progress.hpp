#pragma once

#include <cstdint>
#include <string>

namespace haechi::bench {

/// One line about what is going on: rewritten on a terminal, once a second elsewhere.
class Progress {
 public:
  Progress();
  ~Progress() { clear(); }
  /// Shows `text`; on a terminal in place, else at most once a second.
  void update(const std::string& text);
  /// Ends the current line with something worth keeping.
  void keep(const std::string& text);
  void clear();

 private:
  bool terminal_;
  std::size_t shown_ = 0;
  std::int64_t next_ = 0;
};

}  // namespace haechi::bench
