#include "core/row_guard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/clean_text.hpp"
#include "core/json_cell.hpp"
#include "core/json_text.hpp"
#include "core/schema.hpp"

namespace sluice {
namespace {

namespace json = simdjson::ondemand;
using What = RowGuard::Rule::What;

constexpr int deepest_row = 1000;

bool separates(char c) {
  return c == '/' || c == '.';
}

// What stands between the quotes of a member's name.
std::string_view raw_name(const char* begin) {
  const char* end = begin;
  while (*end != '"') end += *end == '\\' ? 2 : 1;
  return {begin, static_cast<std::size_t>(end - begin)};
}

std::string unescaped(std::string_view raw) {
  std::string text(raw);
  if (raw.find('\\') == std::string_view::npos) return text;
  std::int64_t ignored = 0;
  text.resize(unescape_json(raw, text.data(), ignored).value_or(raw.size()));
  return text;
}

std::string_view blank(std::string_view token) {
  switch (token.front()) {
    case '"':
      return "\"\"";
    case '{':
      return "{}";
    case '[':
      return "[]";
    case 't':
    case 'f':
      return "false";
    case 'n':
      return "null";
    default:
      return "0";
  }
}

// A value without the space around it.
std::string_view bare(std::string_view json) {
  constexpr std::string_view space = " \t\r\n";
  const auto begin = std::min(json.find_first_not_of(space), json.size());
  return json.substr(begin, json.find_last_not_of(space) + 1 - begin);
}

json::document parse(json::parser& parser, std::string& text, std::int64_t& repaired) {
  text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  json::document document;
  auto error = parser.iterate(text).get(document);
  if (error == simdjson::UTF8_ERROR) {
    text = clean_text(text, repaired);
    text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    error = parser.iterate(text).get(document);
  }
  require(error);
  return document;
}

}  // namespace

// Writes a document anew, value by value. `on_way_` holds what is left of each rule's path at every level that the walk
// is in; a level is the part from some place on.
class RowGuard::Walk {
 public:
  Walk(const RowGuard& guard, std::string_view text, json::document& document)
      : guard_(guard), text_(text), document_(document) {
    out_.reserve(text.size() + text.size() / 4);
  }

  std::string page(std::string_view rows, bool saved) {
    json::json_type kind;
    require(document_.type().get(kind));
    if (kind == json::json_type::array && (rows.empty() || saved)) {
      json::array array;
      require(document_.get_array().get(array));
      list_of_rows(array);
      out_ += rest();
    } else if (kind == json::json_type::object && !rows.empty()) {
      object_with(rows, saved);
    } else {
      return std::string(text_);  // the mapper refuses it
    }
    return std::move(out_);
  }

  std::string value() {
    enter();
    const auto verdict = judge(0, true);
    json::value value;
    if (!document_.get_value().get(value))
      write(value, 0, verdict);
    else
      scalar(bare(text_), verdict);  // a text or a number by itself
    return std::move(out_);
  }

 private:
  struct OnWay {
    std::string_view rest;
    const Rule* rule;
  };
  // What becomes of a value.
  struct Verdict {
    const Mask* mask = nullptr;
    bool left_out = false;
    bool kept = false;    // whole, but for what rules say of its inside
    bool deeper = false;  // some rule is about its inside
    bool hiding = false;  // and hides something there
  };

  void enter() {
    on_way_.clear();
    for (const auto& rule : guard_.rules_) on_way_.push_back({rule.path, &rule});
  }

  // All of the text that the document was not read past yet.
  std::string_view rest() {
    const char* at = nullptr;
    if (document_.current_location().get(at)) return {};
    return text_.substr(static_cast<std::size_t>(at - text_.data()));
  }

  void object_with(std::string_view rows, bool saved) {
    json::object object;
    require(document_.get_object().get(object));
    std::size_t copied = 0;
    bool found = false;
    for (auto member : object) {
      json::field field;
      require(std::move(member).get(field));
      std::string_view name;
      require(field.unescaped_key().get(name));
      json::json_type type;
      require(field.value().type().get(type));
      if (name != rows || type != json::json_type::array) continue;
      found = true;
      const auto begin = static_cast<std::size_t>(field.value().raw_json_token().data() - text_.data());
      out_ += text_.substr(copied, begin - copied);
      json::array array;
      require(field.value().get_array().get(array));
      list_of_rows(array);
      const char* end = nullptr;
      require(document_.current_location().get(end));
      copied = static_cast<std::size_t>(end - text_.data());
    }
    if (found || !saved) {
      out_ += text_.substr(copied);
      return;
    }
    document_.rewind();
    json::value row;
    require(document_.get_value().get(row));
    one_row(row);
  }

  void list_of_rows(json::array rows) {
    out_ += '[';
    bool first = true;
    for (auto item : rows) {
      json::value row;
      require(item.get(row));
      if (!std::exchange(first, false)) out_ += ',';
      one_row(row);
    }
    out_ += ']';
  }

  void one_row(json::value row) {
    enter();
    path_.clear();
    write(row, 0, Verdict{nullptr, false, false, true, true});
  }

  Verdict judge(std::size_t level, bool inside_kept) const {
    Verdict verdict;
    bool shown = false, dropped = false, column = false, column_below = false;
    for (auto i = level; i < on_way_.size(); ++i) {
      const auto what = on_way_[i].rule->what;
      const bool of_column = what == What::keep || what == What::drop_field;
      if (!on_way_[i].rest.empty()) {
        verdict.deeper = true;
        verdict.hiding |= what != What::keep;
        column_below |= of_column;
        continue;
      }
      column |= of_column;
      shown |= what == What::keep;
      dropped |= what == What::drop_field;
      if (what == What::mask && verdict.mask == nullptr) verdict.mask = on_way_[i].rule->mask.get();
      verdict.left_out |= what == What::drop;
    }
    if (verdict.mask != nullptr) {
      verdict.left_out = false;
    } else if (shown) {
      verdict.kept = true;
    } else if (dropped) {
      verdict.left_out |= inside_kept && !column_below;
    } else {
      const bool unknown = !inside_kept && !column && !column_below;
      verdict.kept = inside_kept || (unknown && guard_.keep_unknown_);
      verdict.left_out |= unknown && guard_.keep_unknown_ && named_like_dropped();
    }
    return verdict;
  }

  bool named_like_dropped() const {
    if (guard_.dropped_.empty()) return false;
    const auto name = column_name(path_);
    return name && guard_.dropped_.contains(*name);
  }

  void write(json::value value, std::size_t level, const Verdict& verdict) {
    const auto token = token_of(value);
    const bool opens = token.front() == '{' || token.front() == '[';
    if (opens && (verdict.mask != nullptr || verdict.deeper)) {
      if (depth_ == deepest_row) not_json(simdjson::DEPTH_ERROR);
      ++depth_;
      token.front() == '{' ? object(value, level, verdict) : list(value, level, verdict);
      --depth_;
    } else if (opens) {
      out_ += verdict.kept ? text_of(value) : blank(token);
    } else {
      scalar(token, verdict);
    }
  }

  // A text, a number or a word.
  void scalar(std::string_view token, const Verdict& verdict) {
    if (token == "null") {
      out_ += token;
    } else if (verdict.mask != nullptr) {
      const bool text = token.front() == '"';
      if (text && (token.size() < 2 || token.back() != '"')) not_json(simdjson::STRING_ERROR);
      append_json_string(out_, verdict.mask->apply(text ? unescaped(token.substr(1, token.size() - 2)) : token));
    } else if (verdict.hiding) {
      append_json_string(out_, redacted);
    } else {
      out_ += verdict.kept ? token : blank(token);
    }
  }

  // Of what is masked the names of members stay.
  void object(json::value value, std::size_t level, const Verdict& verdict) {
    json::object object;
    require(value.get_object().get(object));
    out_ += '{';
    bool first = true;
    const auto end = on_way_.size(), above = path_.size();
    for (auto member : object) {
      json::field field;
      require(std::move(member).get(field));
      const auto raw = raw_name(field.key().raw());
      auto next = verdict;
      if (verdict.mask == nullptr) {
        const auto name = unescaped(raw);
        for (auto i = level; i < end; ++i) step(on_way_[i], name);
        path_ += (above == 0 ? "" : "/") + name;
        next = judge(end, verdict.kept);
      }
      if (!next.left_out) {
        if (!std::exchange(first, false)) out_ += ',';
        out_.append("\"").append(raw).append("\":");
        write(field.value(), end, next);
      }
      on_way_.resize(end);
      path_.resize(above);
    }
    out_ += '}';
  }

  void step(OnWay way, std::string_view name) {
    if (name.empty() || !lies_in(way.rest, name)) return;
    if (way.rest.size() == name.size())
      on_way_.push_back({{}, way.rule});
    else
      on_way_.push_back({way.rest.substr(name.size() + 1), way.rule});
  }

  void list(json::value value, std::size_t level, const Verdict& verdict) {
    json::array array;
    require(value.get_array().get(array));
    out_ += '[';
    bool first = true;
    for (auto item : array) {
      json::value one;
      require(item.get(one));
      if (!std::exchange(first, false)) out_ += ',';
      write(one, level, verdict);
    }
    out_ += ']';
  }

  const RowGuard& guard_;
  std::string_view text_;
  json::document& document_;
  std::string out_;
  std::vector<OnWay> on_way_;
  int depth_ = 0;
  std::string path_;  // of the member at hand, from the row's top
};

RowGuard::RowGuard(std::vector<Rule> rules, std::set<std::string> dropped, bool keep_unknown)
    : rules_(std::move(rules)), dropped_(std::move(dropped)), keep_unknown_(keep_unknown) {}

std::string RowGuard::page(std::string page, std::string_view rows, bool saved, std::int64_t& repaired) const {
  json::parser parser;
  auto document = parse(parser, page, repaired);
  return Walk(*this, page, document).page(rows, saved);
}

std::string RowGuard::value(std::string text) const {
  if (check_json(text) == JsonState::broken) {
    std::string hidden;
    append_json_string(hidden, redacted);
    return hidden;
  }
  json::parser parser;
  std::int64_t ignored = 0;
  auto document = parse(parser, text, ignored);
  return Walk(*this, text, document).value();
}

bool lies_in(std::string_view path, std::string_view above) {
  if (path.size() < above.size()) return false;
  for (std::size_t i = 0; i < above.size(); ++i)
    if (path[i] != above[i] && !(separates(path[i]) && separates(above[i]))) return false;
  return path.size() == above.size() || separates(path[above.size()]);
}

namespace {

// Names of members are the source's own words; one that looks like somebody's data is not kept.
bool is_word(std::string_view name) {
  const auto good = [](unsigned char c) { return std::isalpha(c) || c == '_' || c == '-' || c == '$' || c == ' '; };
  return !name.empty() && name.size() <= 64 && good(static_cast<unsigned char>(name.front())) &&
         std::all_of(name.begin(), name.end(), [&](unsigned char c) { return good(c) || std::isdigit(c); });
}

nlohmann::ordered_json outline_of(const nlohmann::ordered_json& value) {
  if (value.is_object()) {
    auto made = nlohmann::ordered_json::object();
    for (const auto& [name, inner] : value.items()) made[is_word(name) ? name : "?"] = outline_of(inner);
    return made;
  }
  if (value.is_array()) {
    auto made = nlohmann::ordered_json::array();
    for (const auto& item : value) {
      auto one = outline_of(item);
      if (std::find(made.begin(), made.end(), one) == made.end()) made.push_back(std::move(one));
    }
    return made;
  }
  return value.type_name();
}

}  // namespace

std::string outline(std::string_view answer) {
  // Its bound on depth is the one on the recursion above.
  const auto parsed = check_json(answer) == JsonState::broken
                          ? nlohmann::ordered_json(nlohmann::ordered_json::value_t::discarded)
                          : nlohmann::ordered_json::parse(answer, nullptr, false);
  if (parsed.is_discarded())
    return nlohmann::json(fmt::format("{} bytes that are not one whole JSON document", answer.size())).dump();
  return outline_of(parsed).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace sluice
