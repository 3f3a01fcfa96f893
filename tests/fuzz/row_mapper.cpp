#include "core/row_mapper.hpp"

#include <nlohmann/json.hpp>

#include "core/clean_text.hpp"
#include "core/error.hpp"
#include "tests/fuzz/fuzz.hpp"

// The rows of a page are those that a full parser finds in it, and of a page that breaks off there are none.

using namespace sluice;
using fuzz::require;
using nlohmann::json;

namespace {

enum Place : std::size_t { text_at, number_at, flag_at, json_at, inner_at };

StreamSpec stream(NewFields new_fields) {
  StreamSpec spec;
  spec.name = "rows";
  spec.columns = {Column("t", Type::text), Column("n", Type::int64), Column("f", Type::boolean),
                  Column("j", Type::json), Column("o_x", Type::text, "o/x")};
  for (const auto type : {DataType(Type::float64), DataType(Type::decimal, 18, 4), DataType(Type::date),
                          DataType(Type::time), DataType(Type::timestamp), DataType(Type::bytes), DataType(Type::uuid)})
    spec.columns.emplace_back(to_string(type.type), type);
  spec.key = {"t"};
  spec.new_fields = new_fields;
  if (new_fields == NewFields::keep_in_extra) {
    spec.columns.emplace_back(std::string(extra_column), Type::json);
    spec.columns.back().path.clear();
  }
  return spec;
}

std::optional<MappedPage> map(RowMapper& mapper, std::string_view page) {
  try {
    return mapper.map(std::string(page), "data");
  } catch (const Error& error) {
    require(error.remedy() == Remedy::retry, "a page that is none is asked for again");
    return {};
  }
}

const json& member(const json& object, const char* name) {
  static const json nothing(json::value_t::discarded);
  if (!object.is_object()) return nothing;
  const auto found = object.find(name);
  return found == object.end() ? nothing : *found;
}

void check_row(const Batch& batch, std::size_t i, const json& row) {
  const auto cells = batch.row(i);
  const auto text = [&](Place at) { return std::string(batch.text(cells[at])); };
  const auto same_text = [&](Place at, const json& value) {
    if (!value.is_string()) return;
    require(cells[at].kind == Kind::text && text(at) == clean_text(value.get_ref<const std::string&>()),
            "a text is the source's");
  };
  same_text(text_at, member(row, "t"));
  if (member(row, "t").is_discarded() || member(row, "t").is_null())
    require(cells[text_at].kind == Kind::text && text(text_at).empty(), "a missing text of the key is empty");
  same_text(inner_at, member(member(row, "o"), "x"));

  const auto& number = member(row, "n");
  if (number.is_number_integer() && !(number.is_number_unsigned() && number.get<std::uint64_t>() > INT64_MAX))
    require(cells[number_at].kind == Kind::int64 && cells[number_at].integer == number.get<std::int64_t>(),
            "a number is the source's");
  require(number.is_discarded() == (cells[number_at].kind == Kind::absent), "what is missing is absent");
  require(number.is_null() == (cells[number_at].kind == Kind::null), "null is null");
  if (member(row, "f").is_boolean())
    require(cells[flag_at].integer == (member(row, "f").get<bool>() ? 1 : 0), "a flag is the source's");
  const auto& inside = member(row, "j");
  if (inside.is_structured())
    require(json::parse(text(json_at), nullptr, false).type() == inside.type(), "JSON stays JSON");
}

// Rows and rejects together are the array, each in its order.
void check_rows(const MappedPage& mapped, const json& rows) {
  const auto& batch = mapped.batch;
  require(batch.rows() + batch.rejects.size() == rows.size(), "every row is loaded or rejected");
  std::size_t loaded = 0, rejected = 0;
  for (const auto& row : rows) {
    if (loaded < batch.rows() && json::parse(batch.raw(loaded), nullptr, false) == row) {
      check_row(batch, loaded++, row);
      continue;
    }
    const auto& reject = batch.rejects.at(rejected++);
    require(json::parse(reject.raw, nullptr, false) == row, "a reject keeps its row");
    require(!reject.reason.empty() && !reject.rule.empty(), "a reject says why");
  }
}

bool deep(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return c == '[' || c == '{'; }) > 500;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr NewFields kinds[] = {NewFields::ignore, NewFields::add, NewFields::keep_in_extra};
  fuzz::Input input(data, size);
  RowMapper mapper(stream(kinds[input.pick(3)]));
  const auto cut = input.pick(256);
  const auto text = input.rest();
  if (deep(text) || !fuzz::comparable(text)) return 0;

  const auto mapped = map(mapper, text);
  const auto page = json::parse(text, nullptr, false);
  if (!page.is_object()) return 0;
  require(mapped.has_value(), "a page that is JSON is read");
  const auto envelope = json::parse(mapped->envelope, nullptr, false);
  require(envelope.is_object(), "a page without its rows is JSON");
  const bool once = text.find("\"data\"") == text.rfind("\"data\"") && text.find('\\') == text.npos;
  if (once && member(page, "data").is_array()) check_rows(*mapped, page["data"]);

  const auto last = text.find_last_of('}');
  if (last != text.npos && last > 0) {
    RowMapper other(stream(NewFields::ignore));
    require(!map(other, text.substr(0, cut * last / 256 + (cut == 0 ? 1 : 0))), "a page that breaks off is none");
  }
  return 0;
}
