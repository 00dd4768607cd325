#include "store/postgres_values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/text.hpp"

namespace haechi::store {
namespace {

// Object ids of built-in types; they never change (pg_type.dat).
constexpr Oid kBool = 16;
constexpr Oid kInt8 = 20;
constexpr Oid kInt2 = 21;
constexpr Oid kInt4 = 23;
constexpr Oid kText = 25;
constexpr Oid kOid = 26;
constexpr Oid kFloat4 = 700;
constexpr Oid kFloat8 = 701;
constexpr Oid kVarchar = 1043;
constexpr Oid kNumeric = 1700;

template <class T>
void put_number(std::string& out, T value) {
  for (int shift = 8 * (static_cast<int>(sizeof(T)) - 1); shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> shift));
  }
}

template <class T>
T get_number(std::string_view raw, std::size_t at = 0) {
  if (raw.size() < at + sizeof(T)) throw SqlError("the server sent a number that is too short");
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = value << 8 | static_cast<unsigned char>(raw[at + i]);
  return static_cast<T>(value);
}

using Kind = BoundValues::Item::Kind;

std::string as_text(const BoundValues& values, const BoundValues::Item& item) {
  switch (item.kind) {
    case Kind::Integer: return fmt::format("{}", item.integer);
    case Kind::Real: return fmt::format("{}", item.real);
    default: return std::string(values.view(item));
  }
}

[[noreturn]] void does_not_fit(Oid type) {
  throw SqlError(fmt::format("a value does not fit a column of type {}", array_element_name(type)));
}

std::int64_t as_integer(const BoundValues::Item& item, Oid type, std::int64_t min, std::int64_t max) {
  if (item.kind != Kind::Integer || item.integer < min || item.integer > max) does_not_fit(type);
  return item.integer;
}

template <class T>
void put_integer(std::string& out, const BoundValues::Item& item, Oid type) {
  put_number(out, static_cast<std::uint32_t>(sizeof(T)));
  put_number(out, static_cast<T>(as_integer(item, type, std::numeric_limits<T>::min(), std::numeric_limits<T>::max())));
}

void put_element(std::string& out, const BoundValues& values, const BoundValues::Item& item, Oid type) {
  if (item.kind == Kind::Null) return put_number(out, std::uint32_t{0xFFFFFFFF});
  switch (type) {
    case kInt2: return put_integer<std::int16_t>(out, item, type);
    case kInt4: return put_integer<std::int32_t>(out, item, type);
    case kInt8: return put_integer<std::int64_t>(out, item, type);
    case kBool:
      put_number(out, std::uint32_t{1});
      return out.push_back(static_cast<char>(as_integer(item, type, 0, 1)));
    case kFloat8: {
      if (item.kind != Kind::Real && item.kind != Kind::Integer) does_not_fit(type);
      const double real = item.kind == Kind::Real ? item.real : static_cast<double>(item.integer);
      put_number(out, std::uint32_t{8});
      return put_number(out, std::bit_cast<std::uint64_t>(real));
    }
    default: {
      const bool stored = item.kind == Kind::Text || item.kind == Kind::Bytes;
      const std::string made = stored ? std::string() : as_text(values, item);
      const std::string_view bytes = stored ? values.view(item) : std::string_view(made);
      put_number(out, static_cast<std::uint32_t>(bytes.size()));
      out += bytes;
    }
  }
}

struct Numeric {
  std::int64_t whole = 0;
  double real = 0;
};

/// The binary form of NUMERIC: digits to the base 10,000 after a head of four shorts.
Numeric numeric(std::string_view raw) {
  const auto digits = get_number<std::uint16_t>(raw, 0);
  const auto weight = get_number<std::int16_t>(raw, 2);
  const auto sign = get_number<std::uint16_t>(raw, 4);
  if (sign != 0 && sign != 0x4000) return {0, std::nan("")};
  Numeric n;
  for (int i = 0; i < std::max<int>(digits, weight + 1); ++i) {
    const int digit = i < digits ? get_number<std::int16_t>(raw, 8 + 2 * static_cast<std::size_t>(i)) : 0;
    n.real += digit * std::pow(10'000.0, weight - i);
    if (i > weight) continue;
    if (__builtin_mul_overflow(n.whole, 10'000, &n.whole) || __builtin_add_overflow(n.whole, digit, &n.whole)) {
      throw SqlError("a number is too large");
    }
  }
  if (sign != 0) n = {-n.whole, -n.real};
  return n;
}

}  // namespace

void BoundValues::append(std::span<const Value> values, std::string_view statement) {
  const std::size_t before = items_.size();
  for (const auto& value : values) {
    Item item;
    switch (value.index()) {
      case 0: break;
      case 1:
        item.kind = Item::Kind::Integer;
        item.integer = *std::get_if<std::int64_t>(&value);
        break;
      case 2:
        item.kind = Item::Kind::Real;
        item.real = *std::get_if<double>(&value);
        break;
      default: {
        const bool text = value.index() == 3;
        const auto view = text ? *std::get_if<std::string_view>(&value) : std::get_if<Blob>(&value)->bytes;
        if (text && (view.find('\0') != view.npos || !is_valid_utf8(view))) {
          truncate(before);
          throw SqlError(fmt::format("text must be UTF-8 without zero bytes: a value of {}", statement.substr(0, 60)));
        }
        item.kind = text ? Item::Kind::Text : Item::Kind::Bytes;
        item.at = bytes_.size();
        item.size = view.size();
        bytes_ += view;
        bytes_.push_back('\0');
      }
    }
    items_.push_back(item);
  }
}

void BoundValues::truncate(std::size_t count) {
  // What is stored lies in order: the first of the items that go says how much stays.
  for (std::size_t i = count; i < items_.size(); ++i) {
    if (items_[i].kind != Item::Kind::Text && items_[i].kind != Item::Kind::Bytes) continue;
    bytes_.resize(items_[i].at);
    break;
  }
  items_.resize(std::min(count, items_.size()));
}

void Arguments::start(std::size_t count) {
  values_.clear();
  lengths_.clear();
  formats_.clear();
  texts_.clear();
  values_.reserve(count + 1);  // so that data() is never null
  lengths_.reserve(count + 1);
  formats_.reserve(count + 1);
}

void Arguments::set(const BoundValues& values, std::size_t first, std::size_t count) {
  start(count);
  for (std::size_t i = first; i < first + count; ++i) {
    const auto& item = values[i];
    const char* at = nullptr;
    if (item.kind == Kind::Text || item.kind == Kind::Bytes) at = values.data(item);
    else if (item.kind != Kind::Null) at = texts_.emplace_back(as_text(values, item)).c_str();
    values_.push_back(at);
    lengths_.push_back(static_cast<int>(item.size));
    formats_.push_back(item.kind == Kind::Bytes ? 1 : 0);
  }
}

void Arguments::set_arrays(const BoundValues& values, std::span<const std::size_t> rows, std::span<const Oid> types) {
  start(types.size());
  for (std::size_t column = 0; column < types.size(); ++column) {
    auto& array = texts_.emplace_back();
    const bool nulls = std::ranges::any_of(rows, [&](auto row) { return values[row + column].kind == Kind::Null; });
    put_number(array, std::uint32_t{1});      // dimensions
    put_number(array, std::uint32_t{nulls});  // whether some are null
    put_number(array, std::uint32_t{types[column]});
    put_number(array, static_cast<std::uint32_t>(rows.size()));
    put_number(array, std::uint32_t{1});  // the first index
    for (const auto row : rows) put_element(array, values, values[row + column], types[column]);
    values_.push_back(array.data());
    lengths_.push_back(static_cast<int>(array.size()));
    formats_.push_back(1);
  }
}

const char* array_element_name(Oid type) {
  switch (type) {
    case kBool: return "boolean";
    case kByteaType: return "bytea";
    case kInt8: return "bigint";
    case kInt2: return "smallint";
    case kInt4: return "integer";
    case kText: return "text";
    case kVarchar: return "varchar";
    case kFloat8: return "double precision";
    default: return nullptr;
  }
}

bool PostgresRow::is_null(int column) const { return PQgetisnull(result_, row_, column) != 0; }

std::string_view PostgresRow::raw(int column) const {
  return {PQgetvalue(result_, row_, column), static_cast<std::size_t>(PQgetlength(result_, row_, column))};
}

std::int64_t PostgresRow::i64(int column) const {
  if (is_null(column)) return 0;
  const auto bytes = raw(column);
  switch (PQftype(result_, column)) {
    case kInt8: return get_number<std::int64_t>(bytes);
    case kInt4: return get_number<std::int32_t>(bytes);
    case kInt2: return get_number<std::int16_t>(bytes);
    case kBool: return get_number<std::uint8_t>(bytes);
    case kOid: return get_number<std::uint32_t>(bytes);
    case kFloat4:
    case kFloat8: return static_cast<std::int64_t>(f64(column));
    case kNumeric: return numeric(bytes).whole;
    default: {
      std::int64_t value = 0;  // as SQLite: what can be read of it
      std::from_chars(bytes.data(), bytes.data() + bytes.size(), value);
      return value;
    }
  }
}

double PostgresRow::f64(int column) const {
  if (is_null(column)) return 0;
  const auto bytes = raw(column);
  switch (PQftype(result_, column)) {
    case kFloat8: return std::bit_cast<double>(get_number<std::uint64_t>(bytes));
    case kFloat4: return static_cast<double>(std::bit_cast<float>(get_number<std::uint32_t>(bytes)));
    case kNumeric: return numeric(bytes).real;
    default: return static_cast<double>(i64(column));
  }
}

std::string_view PostgresRow::text(int column) const {
  if (is_null(column)) return {};
  switch (PQftype(result_, column)) {
    case kInt8:
    case kInt4:
    case kInt2:
    case kBool:
    case kOid: return made_.emplace_back(fmt::format("{}", i64(column)));
    case kFloat4:
    case kFloat8:
    case kNumeric: return made_.emplace_back(fmt::format("{}", f64(column)));
    default: return raw(column);
  }
}

}  // namespace haechi::store
