#pragma once
// Values on their way to and from PostgreSQL. Only store/postgres*.cpp include this.

#include <libpq-fe.h>

#include <deque>

#include "store/store.hpp"

namespace haechi::store {

/// Copies of what was bound, in the order of binding; the newest can be taken back.
class BoundValues {
 public:
  struct Item {
    enum class Kind : std::uint8_t { Null, Integer, Real, Text, Bytes } kind = Kind::Null;
    std::int64_t integer = 0;
    double real = 0;
    std::size_t at = 0;  ///< of Text and Bytes: where it lies
    std::size_t size = 0;
  };

  /// SqlError, and nothing appended, for text that PostgreSQL cannot hold.
  void append(std::span<const Value> values, std::string_view statement);
  void truncate(std::size_t count);
  void clear() { truncate(0); }
  std::size_t count() const { return items_.size(); }
  std::size_t bytes() const { return bytes_.size(); }
  const Item& operator[](std::size_t i) const { return items_[i]; }
  /// A zero follows it. Valid until the next append().
  const char* data(const Item& item) const { return bytes_.data() + item.at; }
  std::string_view view(const Item& item) const { return {data(item), item.size}; }

 private:
  std::vector<Item> items_;
  std::string bytes_;
};

/// The arguments of one statement as libpq takes them.
class Arguments {
 public:
  /// One row: text, whose type the server infers; bytes are binary.
  void set(const BoundValues& values, std::size_t first, std::size_t count);
  /// One array for each column: row r is the `types.size()` values from rows[r] on. SqlError for
  /// a value that its column cannot hold.
  void set_arrays(const BoundValues& values, std::span<const std::size_t> rows, std::span<const Oid> types);

  int count() const { return static_cast<int>(values_.size()); }
  const char* const* values() const { return values_.data(); }
  const int* lengths() const { return lengths_.data(); }
  const int* formats() const { return formats_.data(); }

 private:
  void start(std::size_t count);

  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
  std::deque<std::string> texts_;  ///< a deque, for what it holds must not move
};

/// "bigint" and the like; null for types that no array can be made of here.
const char* array_element_name(Oid type);
inline constexpr Oid kByteaType = 17;

struct ClearResult {
  void operator()(PGresult* r) const { PQclear(r); }
};
using ResultPtr = std::unique_ptr<PGresult, ClearResult>;

/// A row of a result in binary format.
class PostgresRow final : public Row {
 public:
  explicit PostgresRow(const PGresult* result) : result_(result) {}
  void to(int row) {
    row_ = row;
    made_.clear();
  }
  bool is_null(int column) const override;
  std::int64_t i64(int column) const override;
  double f64(int column) const override;
  std::string_view text(int column) const override;

 private:
  std::string_view raw(int column) const;
  const PGresult* result_;
  int row_ = 0;
  mutable std::deque<std::string> made_;  ///< numbers that were asked for as text
};

}  // namespace haechi::store
