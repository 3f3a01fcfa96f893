#include "sandbox/google_query.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Words, quoted texts (with their quotes) and single signs.
std::vector<std::string> tokens_of(std::string_view text) {
  const auto word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  };
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < text.size();) {
    const auto begin = i;
    if (text[i] == '\'' || text[i] == '"') {
      const auto close = text.find(text[i], i + 1);
      if (close == text.npos) throw GoogleError("queryError", "INVALID_STRING_VALUE", "a quote is not closed");
      i = close + 1;
    } else if (word(text[i])) {
      while (i < text.size() && word(text[i])) ++i;
    } else if ((text[i] == '>' || text[i] == '<' || text[i] == '!') && i + 1 < text.size() && text[i + 1] == '=') {
      i += 2;
    } else if (++i; std::string_view(" \t\r\n").find(text[begin]) != std::string_view::npos) {
      continue;
    }
    tokens.emplace_back(text.substr(begin, i - begin));
  }
  return tokens;
}

std::string upper(std::string text) {
  for (auto& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : tokens_(tokens_of(text)) {}

  GoogleQuery parse() {
    expect("SELECT");
    do query_.fields.push_back(next());
    while (accept(","));
    if (accept("FROM")) query_.from = next();
    if (accept("WHERE")) do
        condition();
      while (accept("AND"));
    if (accept("ORDER")) {
      query_.ordered = true;
      while (at_ < tokens_.size() && upper(tokens_[at_]) != "LIMIT" && upper(tokens_[at_]) != "PARAMETERS") ++at_;
    }
    if (accept("LIMIT")) query_.limit = to_int(next());
    if (accept("PARAMETERS")) at_ = tokens_.size();
    if (at_ < tokens_.size()) refuse(tokens_[at_]);
    return std::move(query_);
  }

 private:
  [[noreturn]] static void refuse(const std::string& token) {
    throw GoogleError("queryError", "UNEXPECTED_INPUT", "Error in query: unexpected input " + token + ".");
  }
  std::string next() {
    if (at_ == tokens_.size()) throw GoogleError("queryError", "UNEXPECTED_END_OF_QUERY", "unexpected end of query");
    return tokens_[at_++];
  }
  bool accept(std::string_view word) {
    if (at_ == tokens_.size() || upper(tokens_[at_]) != word) return false;
    ++at_;
    return true;
  }
  void expect(std::string_view word) {
    if (!accept(word)) refuse(at_ < tokens_.size() ? tokens_[at_] : "end");
  }
  std::string value() {
    auto text = next();
    if (text.size() >= 2 && (text.front() == '\'' || text.front() == '"')) text = text.substr(1, text.size() - 2);
    return text;
  }
  void condition() {
    GoogleQuery::Condition c;
    c.field = next();
    c.op = upper(next());
    if (c.op == "IN") {
      expect("(");
      do c.values.push_back(value());
      while (accept(","));
      expect(")");
    } else {
      c.values.push_back(value());
      if (c.op == "BETWEEN") {
        expect("AND");
        c.values.push_back(value());
      }
    }
    query_.where.push_back(std::move(c));
  }

  std::vector<std::string> tokens_;
  std::size_t at_ = 0;
  GoogleQuery query_;
};

}  // namespace

GoogleQuery GoogleQuery::parse(std::string_view text) {
  Parser parser(text);
  return parser.parse();
}

const GoogleQuery::Condition* GoogleQuery::condition(std::string_view field, std::string_view op) const {
  const auto at = std::ranges::find_if(where, [&](const Condition& c) { return c.field == field && c.op == op; });
  return at == where.end() ? nullptr : &*at;
}

std::optional<std::pair<Day, Day>> GoogleQuery::days() const {
  const bool asks = std::ranges::any_of(where, [](const Condition& c) { return c.field == "segments.date"; }) ||
                    std::ranges::find(fields, "segments.date") != fields.end();
  if (!asks) return std::nullopt;
  const auto day = [](const std::string& text) {
    const auto parsed = parse_day(text);
    if (!parsed) throw GoogleError("dateError", "INVALID_STRING_DATE", "Invalid date: " + text);
    return *parsed;
  };
  if (const auto* one = condition("segments.date", "=")) return std::pair(day(one->values[0]), day(one->values[0]));
  const auto* range = condition("segments.date", "BETWEEN");
  if (range == nullptr)
    throw GoogleError("queryError", "EXPECTED_FILTERS_ON_DATE_RANGE", "Core date segments need a finite date range.");
  return std::pair(day(range->values[0]), day(range->values[1]));
}

std::string GoogleError::to_json() const {
  OrderedJson error{{"code", http}, {"message", kind.empty() ? message : "Request was refused."}, {"status", status}};
  if (!kind.empty()) {
    OrderedJson one{{"errorCode", {{kind, value}}}, {"message", message}};
    if (!delay.empty())
      one["details"] = {
          {"quotaErrorDetails", {{"rateScope", scope}, {"rateName", "Number of operations"}, {"retryDelay", delay}}}};
    error["details"] =
        OrderedJson::array({{{"@type", "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"},
                             {"errors", OrderedJson::array({one})},
                             {"requestId", "SandboxRequest000000"}}});
  }
  return OrderedJson{{"error", error}}.dump();
}

}  // namespace sluice::sandbox
