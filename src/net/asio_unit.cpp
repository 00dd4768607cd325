// Asio's and Beast's own sources, compiled once for the whole program.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
#pragma clang diagnostic pop
