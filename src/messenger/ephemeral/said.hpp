#pragma once
// What nodes tell each other of what may be lost: a topic and a JSON array, in
// as many messages as it takes.

#include <string>
#include <string_view>

#include "base/json.hpp"
#include "journal/journal.hpp"

namespace haechi::messenger {

class Said {
 public:
  Said(journal::Journal& journal, std::string_view topic) : journal_(journal), topic_(topic) {}
  /// One item as JSON. What is too long for a message is not said.
  void add(std::string_view item);
  /// What is left.
  void send();

 private:
  journal::Journal& journal_;
  std::string_view topic_;
  std::string text_;
};

/// The items of a message; none of one that cannot be read.
json::array heard_items(std::string_view message);

}  // namespace haechi::messenger
