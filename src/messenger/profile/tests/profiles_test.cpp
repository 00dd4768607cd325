#include "messenger/profile/profiles.hpp"

#include <doctest/doctest.h>

#include "messenger/errc.hpp"
#include "messenger/profile/repo.hpp"

using namespace haechi;
using namespace haechi::messenger;
using Bad = haechi::messenger::Errc;

TEST_CASE("profile fields have namespaced names") {
  for (const auto* good : {"displayname", "m.tz", "org.example.job-title_2", "a"}) {
    CAPTURE(good);
    CHECK(check_profile_key(good));
  }
  for (const auto* bad : {"", "Upper", "9lives", ".dot", "has space", "이름", "a/b"}) {
    CAPTURE(bad);
    CHECK(check_profile_key(bad).error().is(Bad::InvalidParam));
  }
  CHECK(check_profile_key(std::string(255, 'x')));
  CHECK(check_profile_key(std::string(256, 'x')).error().is(Bad::KeyTooLarge));
}

TEST_CASE("the fields that the specification knows are strings of a bounded length") {
  CHECK(check_profile_value("displayname", "해치"));
  std::string long_name;
  for (int i = 0; i < 256; ++i) long_name += "해";
  CHECK(check_profile_value("displayname", json::value(long_name)));
  CHECK_FALSE(check_profile_value("displayname", json::value(long_name + "치")));
  CHECK_FALSE(check_profile_value("displayname", 5));
  CHECK_FALSE(check_profile_value("avatar_url", nullptr));
  CHECK_FALSE(check_profile_value("m.tz", json::object()));
  CHECK(check_profile_value("org.example.anything", json::object{{"a", 1}}));
}

TEST_CASE("a profile holds 64 KiB as a whole") {
  const std::size_t frame = to_text(json::object{{"a", ""}}).size();
  CHECK(check_profile_size({{"a", std::string(kProfileBytesMax - frame, 'x')}}));
  CHECK(check_profile_size({{"a", std::string(kProfileBytesMax - frame + 1, 'x')}}).error().is(Bad::ProfileTooLarge));
}

TEST_CASE("what people search for is text and no pattern") {
  CHECK(repo::like_contains("kim") == "%kim%");
  CHECK(repo::like_contains("100%_\\") == "%100\\%\\_\\\\%");
}
