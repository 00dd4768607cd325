// The main program of every unit-test binary. Logs are off unless HAECHI_TEST_LOG is set.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sodium.h>

#include <cstdlib>

#include "base/log.hpp"

int main(int argc, char** argv) {
  if (sodium_init() < 0) return 1;
  if (!std::getenv("HAECHI_TEST_LOG")) haechi::log::set_level(haechi::log::Level::Off);
  return doctest::Context(argc, argv).run();
}
