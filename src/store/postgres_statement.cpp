#include "store/postgres_statement.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "store/postgres_values.hpp"

namespace haechi::store {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

/// Calls `f(position, length, n)` for every $n outside of quotes.
template <class F>
void each_placeholder(std::string_view text, F f) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\'') quoted = !quoted;
    if (quoted || text[i] != '$' || i + 1 == text.size() || !is_digit(text[i + 1])) continue;
    std::size_t n = 0;
    std::size_t end = i + 1;
    for (; end < text.size() && is_digit(text[end]) && n < 10'000; ++end) {
      n = n * 10 + static_cast<std::size_t>(text[end] - '0');
    }
    f(i, end - i, n);
    i = end - 1;
  }
}

std::size_t closing_parenthesis(std::string_view text, std::size_t open) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\'') quoted = !quoted;
    if (quoted) continue;
    if (text[i] == '(') ++depth;
    if (text[i] == ')' && --depth == 0) return i;
  }
  return text.npos;
}

}  // namespace

std::size_t count_placeholders(std::string_view text) {
  std::size_t highest = 0;
  each_placeholder(text, [&](std::size_t, std::size_t, std::size_t n) { highest = std::max(highest, n); });
  return highest;
}

std::string inserted_table(std::string_view text) {
  constexpr std::string_view kInsertInto = "INSERT INTO ";
  const auto words = upper(text);
  const auto begin = words.find_first_not_of(" \n");
  if (begin == words.npos || words.compare(begin, kInsertInto.size(), kInsertInto) != 0) return {};
  if (words.find("SELECT") != words.npos) return {};
  const auto name = begin + kInsertInto.size();
  return words.substr(name, words.find_first_of(" (\n", name) - name);
}

std::optional<std::string> gathered_insert(std::string_view text, std::span<const Oid> types) {
  const auto words = upper(text);
  const auto values = words.find("VALUES");
  if (types.empty() || words.find("INSERT INTO ") != words.find_first_not_of(" \n") || values == words.npos) {
    return std::nullopt;
  }
  const auto open = words.find('(', values);
  const auto close = open == words.npos ? open : closing_parenthesis(text, open);
  if (close == text.npos) return std::nullopt;
  const auto tail = text.substr(close + 1);
  // Two rows of one statement may not update the same row, and a tail is the same for all rows.
  const auto tail_words = std::string_view(words).substr(close + 1);
  const auto next = tail_words.substr(std::min(tail_words.find_first_not_of(" \n"), tail_words.size()));
  const bool harmless = next.empty() || (next.starts_with("ON CONFLICT") && next.ends_with("DO NOTHING"));
  if (!harmless || count_placeholders(tail) > 0) return std::nullopt;
  std::string out(text.substr(0, values));
  out += "SELECT ";
  const auto list = text.substr(open + 1, close - open - 1);
  std::size_t copied = 0;
  each_placeholder(list, [&](std::size_t at, std::size_t length, std::size_t n) {
    out += list.substr(copied, at - copied);
    out += fmt::format("p.v{}", n);
    copied = at + length;
  });
  out += list.substr(copied);
  std::string arrays;
  std::string names;
  for (std::size_t n = 1; n <= types.size(); ++n) {
    const char* element = array_element_name(types[n - 1]);
    if (!element) return std::nullopt;
    arrays += fmt::format("{}${}::{}[]", n == 1 ? "" : ", ", n, element);
    names += fmt::format("{}v{}", n == 1 ? "" : ", ", n);
  }
  out += fmt::format(" FROM unnest({}) AS p({})", arrays, names);
  out += tail;
  return out;
}

void PostgresStatement::describe(std::vector<Oid> found) {
  types = std::move(found);
  described = Prepared::State::Yes;
  if (together) {
    if (auto many = gathered_insert(single.text, types)) {
      gathered = Prepared{.name = single.name + "g", .text = *std::move(many)};
    }
  }
  for (std::size_t n = 0; n < std::min<std::size_t>(types.size(), 64); ++n) {
    if (types[n] == kByteaType && (text_bound >> n & 1) != 0) {
      throw SqlError(fmt::format("bytes must be bound as Blob: ${} of {}", n + 1, single.text));
    }
  }
}

PostgresStatement& PostgresStatements::find(const Sql& sql) {
  auto it = statements_.find(sql.text);
  if (it == statements_.end()) {
    PostgresStatement made;
    made.single.name = fmt::format("s{}", statements_.size() + 1);
    made.single.text = sql.text;
    made.placeholders = count_placeholders(sql.text);
    made.together = sql.rows == Rows::Together;
    made.inserts_into = inserted_table(sql.text);
    it = statements_.emplace(sql.text, std::move(made)).first;
  }
  // The key is an address: text built at run time might come to lie where other text was.
  if (it->second.single.text != sql.text) {
    throw SqlError(fmt::format("the text of a statement must be constant: {}", sql.text));
  }
  return it->second;
}

}  // namespace haechi::store
