#include "messenger/sync/token.hpp"

#include <doctest/doctest.h>

using namespace haechi::messenger;

TEST_CASE("a sync token survives being written and read") {
  for (const SyncToken t : {SyncToken{}, SyncToken{1, 2, 3}, SyncToken{1'000'000'000'000, 1'700'000'000'000'000, 7},
                            SyncToken{1, 2, 3, 4'294'967'295}}) {
    CHECK(SyncToken::parse(t.text()) == t);
  }
  CHECK(SyncToken{12, 34, 5}.text() == "s12_34_5");
  CHECK(SyncToken{12, 34, 5, 6}.text() == "s12_34_5_6");
}

TEST_CASE("a sync token of a position alone has given every message up to there") {
  CHECK(SyncToken::parse("s7") == SyncToken{7, 0, 7});
}

TEST_CASE("what no server of ours wrote is not a sync token") {
  for (const char* text : {"",
                           "s",
                           "7",
                           "t7",
                           "s-1",
                           "s1_2",
                           "s1_2_",
                           "s1__3",
                           "s1_2_3_4_5",
                           "s1_2_3_-4",
                           "s1_2_3_4294967296",
                           "s1_-2_3",
                           "s1_2_-3",
                           "s1_2_3 ",
                           " s1",
                           "S1",
                           "s0x1",
                           "s1.0",
                           "s+1",
                           "s99999999999999999999",
                           "s9223372036854775807",
                           "s1_9223372036854775807_1",
                           "s1_2_9223372036854775807",
                           "s1111111111111111111111111111111111111111111111111111111111111111111_1_1"}) {
    CAPTURE(text);
    CHECK_FALSE(SyncToken::parse(text));
  }
}

TEST_CASE("page tokens stand between events, and sync tokens after what they gave") {
  struct Row {
    const char* text;
    std::optional<haechi::journal::Position> before;
  };
  for (const auto& [text, before] : {Row{"t0", 0}, Row{"t15", 15}, Row{"s14", 15}, Row{"s14_9_3", 15}, Row{"", {}},
                                     Row{"t", {}}, Row{"t-1", {}}, Row{"15", {}}, Row{"t1_2", {}}, Row{"s1_2", {}},
                                     Row{"t9223372036854775807", {}}, Row{"s9223372036854775807", {}}}) {
    CAPTURE(text);
    CHECK(parse_page_token(text) == before);
  }
  CHECK(parse_page_token(page_token(99)) == 99);
}
