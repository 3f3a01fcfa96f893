#include "connectors/google_ads_query.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sluice::google {
namespace {

constexpr std::string_view customer_id = "customer.id";
constexpr std::string_view omit_names = "omit_unselected_resource_names=true";

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

bool is_word(char c) {
  return (upper(c) >= 'A' && upper(c) <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const auto first = text.find_first_not_of(space);
  if (first == text.npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(space) - first + 1));
}

// A word of the text outside of quotes.
struct Word {
  std::size_t begin, end;
};

// Nothing when a quote is not closed.
std::optional<std::vector<Word>> words_of(std::string_view text) {
  std::vector<Word> words;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '\'' || text[i] == '"') {
      const auto close = text.find(text[i], i + 1);
      if (close == text.npos) return {};
      i = close + 1;
    } else if (is_word(text[i])) {
      const auto begin = i;
      while (i < text.size() && is_word(text[i])) ++i;
      words.push_back({begin, i});
    } else {
      ++i;
    }
  }
  return words;
}

bool is(std::string_view word, std::string_view keyword) {
  return std::equal(word.begin(), word.end(), keyword.begin(), keyword.end(),
                    [](char a, char b) { return upper(a) == b; });
}

constexpr std::array<std::string_view, 6> keywords{"SELECT", "FROM", "WHERE", "ORDER", "LIMIT", "PARAMETERS"};

// "a.b_c1.d": each part begins with a letter. The API has none with capitals.
bool is_field(std::string_view name) {
  char before = '.';
  for (const char c : name) {
    const bool letter = c >= 'a' && c <= 'z';
    if (before == '.' && !letter) return false;
    if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '.') return false;
    before = c;
  }
  return !name.empty() && before != '.';
}

// Adds to `fields`, but for customer.id, which is asked for anyway. Gives false, and says why, when the list is not one
// of fields that can be told apart.
bool split_fields(const std::string& list, std::vector<std::string>& fields, std::string& why) {
  std::vector<std::string> all{std::string(customer_id)};
  for (std::size_t at = 0; at <= list.size();) {
    const auto comma = std::min(list.find(',', at), list.size());
    auto field = trimmed(std::string_view(list).substr(at, comma - at));
    at = comma + 1;
    if (!is_field(field)) {
      why = fmt::format("\"{}\" is no field; expected names like campaign.id, in small letters, separated by commas",
                        field);
      return false;
    }
    if (field == customer_id) continue;
    const auto same = std::find_if(all.begin(), all.end(), [&](const std::string& other) {
      return column_of(other) == column_of(field) || json_path(other) == json_path(field);
    });
    if (same != all.end()) {
      why = *same == field ? fmt::format("{} stands in SELECT twice", field)
                           : fmt::format(
                                 "{} and {} cannot be told apart: their columns, or their names in the API's "
                                 "answers, are the same; take one out",
                                 *same, field);
      return false;
    }
    all.push_back(std::move(field));
  }
  fields.assign(all.begin() + 1, all.end());
  return true;
}

}  // namespace

std::optional<Query> Query::parse(std::string_view text, std::string& why) {
  Query query;
  const auto words = words_of(text);
  if (!words) {
    why = "a quote is not closed";
    return {};
  }
  std::array<std::string, 6> clauses;
  std::size_t next = 0, begin = 0;  // the clause that may come next; where the present one's text begins
  std::optional<std::size_t> current;
  for (const auto& word : *words) {
    const auto name = text.substr(word.begin, word.end - word.begin);
    const auto at = std::find_if(keywords.begin() + static_cast<std::ptrdiff_t>(next), keywords.end(),
                                 [&](std::string_view keyword) { return is(name, keyword); });
    if (at == keywords.end()) continue;
    if (current) clauses[*current] = trimmed(text.substr(begin, word.begin - begin));
    current = static_cast<std::size_t>(at - keywords.begin());
    next = *current + 1;
    begin = word.end;
  }
  if (current) clauses[*current] = trimmed(text.substr(begin));
  if (clauses[0].empty() || clauses[1].empty()) {
    why = "expected SELECT fields FROM resource";
    return {};
  }
  if (!is_field(clauses[1]) || clauses[1].find('.') != std::string::npos) {
    why = fmt::format("\"{}\" is no resource; expected one name behind FROM", clauses[1]);
    return {};
  }
  if (!split_fields(clauses[0], query.fields, why)) return {};
  query.from = clauses[1];
  query.where = clauses[2];
  query.order = clauses[3];
  query.limit = clauses[4];
  query.parameters = clauses[5];
  return query;
}

bool Query::selects(std::string_view field) const {
  return std::find(fields.begin(), fields.end(), field) != fields.end();
}

bool Query::filters(std::string_view field) const {
  const auto words = words_of(where);
  return words && std::any_of(words->begin(), words->end(), [&](const Word& word) {
           return std::string_view(where).substr(word.begin, word.end - word.begin) == field;
         });
}

std::string Query::text(const std::string& condition) const {
  std::string text = fmt::format("SELECT {}", customer_id);
  for (const auto& field : fields) text += ", " + field;
  text += " FROM " + from;
  if (!where.empty()) text += " WHERE " + where;
  if (!condition.empty()) text += (where.empty() ? " WHERE " : " AND ") + condition;
  if (!order.empty()) text += " ORDER " + order;  // "BY …" is part of it
  if (!limit.empty()) text += " LIMIT " + limit;
  const bool says = parameters.find("omit_unselected_resource_names") != std::string::npos;
  text += fmt::format(" PARAMETERS {}{}{}", parameters, says || parameters.empty() ? "" : ", ", says ? "" : omit_names);
  return text;
}

std::string within(const DayWindow& days) {
  return fmt::format("segments.date BETWEEN '{}' AND '{}'", format_day(days.from), format_day(days.to - 1));
}

std::string column_of(std::string_view field) {
  std::string name(field);
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::string json_path(std::string_view field) {
  std::string path;
  bool raise = false;
  for (const char c : field) {
    if (c == '_') {
      raise = true;
      continue;
    }
    path += c == '.' ? '/' : raise ? upper(c) : c;
    raise = false;
  }
  return path;
}

}  // namespace sluice::google
