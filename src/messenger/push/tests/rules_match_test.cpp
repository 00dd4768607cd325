#include "messenger/push/rules_match.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace haechi::messenger::push;

namespace {

struct Row {
  std::string_view pattern;
  std::string_view text;
  bool match;
};

}  // namespace

TEST_CASE("a glob has to match the whole of a property") {
  constexpr Row kRows[] = {
      {"lunc?*", "Lunch plans", true},
      {"lunc?*", "LUNCH", true},
      {"lunc?*", " lunch", false},
      {"lunc?*", "lunc", false},
      {"", "", true},
      {"", "a", false},
      {"*", "", true},
      {"*", "anything", true},
      {"?", "한", true},
      {"??", "한", false},
      {"*?", "한", true},
      {"a*b*c", "axxbyyc", true},
      {"a*b*c", "axxbyycd", false},
      {"a*bc", "abcbc", true},
      {"*a?", "bab", true},
      {"*a?", "aab한", false},
      {"*b?", "aab한", true},
      {"a*a", "a", false},
      {"a**", "a", true},
      {"m.notice", "m-notice", false},
      {"?*?", "가나", true},
      {"?*?", "가", false},
      {"a*", "b", false},
  };
  for (const Row& row : kRows) {
    Work work;
    CAPTURE(row.pattern);
    CAPTURE(row.text);
    CHECK(glob_whole(row.pattern, row.text, work) == row.match);
  }
}

TEST_CASE("a glob on the body matches between word boundaries") {
  constexpr Row kRows[] = {
      {"ex*ple", "An example event.", true},
      {"ex*ple", "exple", true},
      {"ex*ple", "An exciting triple-whammy", true},
      {"ex*ple", "examples", false},
      {"ex*ple", "hexample", false},
      {"cake", "cake", true},
      {"cake", "a CAKE!", true},
      {"cake", "cakes", false},
      {"cake", "pan_cake", false},
      {"cake", "pan-cake", true},
      {"c?ke", "a coke", true},
      {"c?ke", "a c한ke", true},
      {"cake*lie", "the cake is a lie", true},
      {"cake*lie", "the cake is a lier", false},
      {"cake*lie", "cakes lie lie", true},
      {"*lie", "some lie here", true},
      {"lie*", "some lie here", true},
      {"lie*", "somelie", false},
      {"홍길동", "나는홍길동입니다", true},
      {"@room", "hey @room!", true},
      {"@room", "hey @rooms", false},
      {"", "text", true},
      {"a*b*c", "a b c", true},
      {"a*b*c", "a c b", false},
  };
  for (const Row& row : kRows) {
    Work work;
    CAPTURE(row.pattern);
    CAPTURE(row.text);
    CHECK(glob_words(row.pattern, row.text, work) == row.match);
    if (!has_glob(row.pattern) && !row.pattern.empty()) {
      CHECK(contains_word(row.text, row.pattern, work) == row.match);
    }
  }
}

TEST_CASE("a name is taken literally and found as a whole word") {
  constexpr Row kRows[] = {
      {"alice", "hi Alice", true},
      {"alice", "malice", false},
      {"alice", "malice alice", true},
      {"al*ce", "hi alice", false},
      {"al*ce", "hi al*ce", true},
      {"a", "a", true},
      {"a", "b a b", true},
      {"a", "ba", false},
      {"", "a", false},
      {"(bob)", "hi (Bob)", true},
      {"(bob)", "hi(bob)", true},
      {"alice", "", false},
      {"Alice B.", "ok alice b. go", true},
  };
  for (const Row& row : kRows) {
    Work work;
    CAPTURE(row.pattern);
    CAPTURE(row.text);
    CHECK(contains_word(row.text, row.pattern, work) == row.match);
    WordStarts starts;
    starts.build(row.text);
    if (row.match) CHECK(starts.may_contain(row.pattern));
  }
}

TEST_CASE("the word filter turns most absent names away") {
  WordStarts starts;
  starts.build("the quick brown fox");
  CHECK(starts.may_contain("quick"));
  CHECK_FALSE(starts.may_contain("alice"));
  CHECK_FALSE(starts.may_contain("uick"));
}

TEST_CASE("a hostile pattern runs out of work instead of time") {
  std::string text;
  for (int i = 0; i < 16'000; ++i) text += "a ";
  std::string pattern;
  for (int i = 0; i < 500; ++i) pattern += "a ";
  pattern += "b";
  for (const std::string& p : {pattern, "*" + pattern, "a*" + pattern + "*b"}) {
    Work work;
    CHECK_FALSE(glob_words(p, text, work));
    CHECK(work.left > -100'000);
  }
}

TEST_CASE("no byte and no pattern makes a search read outside its text") {
  // Every short text over an alphabet that has a wildcard, a boundary and parts of a code point.
  constexpr std::string_view kAlphabet = "a* ?\xed\x95\x9c";
  std::vector<std::string> texts{""};
  for (std::size_t from = 0, round = 0; round < 3; ++round) {
    const std::size_t until = texts.size();
    for (; from < until; ++from) {
      for (const char c : kAlphabet) texts.push_back(texts[from] + c);
    }
  }
  std::size_t matched = 0;
  for (const std::string& pattern : texts) {
    for (const std::string& text : texts) {
      Work work;
      const bool whole = glob_whole(pattern, text, work);
      if (whole) CHECK(glob_words(pattern, text, work));
      matched += whole;
    }
  }
  CHECK(matched > texts.size());
}
