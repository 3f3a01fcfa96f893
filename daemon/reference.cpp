#include <fmt/format.h>

#include "daemon/schema_json.hpp"

namespace sluice {
namespace {

std::string kind_of_value(const Option& option) {
  switch (option.value) {
    case Value::text:
      return "text";
    case Value::secret:
      return "secret";
    case Value::integer:
      return "number";
    case Value::boolean:
      return "true, false";
    case Value::duration:
      return "duration";
    case Value::size:
      return "size";
    case Value::percent:
      return "percentage";
    case Value::rate:
      return "rate";
    case Value::range:
      return "range";
    case Value::day:
      return "day";
    case Value::zone:
      return "zone";
    case Value::type:
      return "type";
    case Value::choice: {
      std::string words;
      for (const auto choice : option.choices) words += (words.empty() ? "" : ", ") + fmt::format("`{}`", choice);
      return words;
    }
    case Value::text_list:
      return "list";
    case Value::text_lists:
      return "list of lists";
    case Value::text_map:
      return "name: text";
    case Value::table:
      return "mapping";
    case Value::tables:
      return "list of mappings";
    case Value::named:
      return "name: mapping";
  }
  return "";
}

std::string in_cell(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string bounds(const Option& option) {
  if (option.least.empty() && option.most.empty()) return {};
  if (option.most.empty()) return fmt::format(", {} at least", option.least);
  return option.least.empty() ? fmt::format(", {} at most", option.most)
                              : fmt::format(", {} to {}", option.least, option.most);
}

void rows(std::span<const Option> options, const std::string& prefix, std::string& out) {
  for (const auto& option : options) {
    const auto name = prefix + std::string(option.name);
    const auto fallback = option.required           ? std::string("required")
                          : option.fallback.empty() ? std::string()
                                                    : fmt::format("`{}`", option.fallback);
    out += fmt::format("| `{}` | {} | {} | {} |\n", name, in_cell(kind_of_value(option) + bounds(option)), fallback,
                       in_cell(option.help));
    rows(option.children, name + (option.value == Value::tables ? "[]." : "."), out);
  }
}

std::string table(const std::string& title, const std::string& words, std::span<const Option> options) {
  auto out = fmt::format("### {}\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n", title, words);
  rows(options, "", out);
  return out + "\n";
}

}  // namespace

std::string options_markdown(const Kinds& kinds) {
  auto out = table("The file", "The top level.", file_options());
  out += table("A pipeline", "Each name under `pipelines`. `defaults` takes the same keys but `streams` and `exclude`.",
               pipeline_options());
  out +=
      table("A stream",
            "Each name under a pipeline's `streams`, whatever the source. The source's own options stand beside these.",
            common_stream_options());
  for (const auto& kind : kinds.connectors) {
    out += table(fmt::format("Source `{}`", kind.type), fmt::format("A source of `type: {}`.", kind.type),
                 kind.source_options);
    if (!kind.stream_options.empty())
      out += table(fmt::format("Streams of `{}`", kind.type), "Beside what every stream takes.", kind.stream_options);
  }
  for (const auto& kind : kinds.sinks)
    out += table(fmt::format("Sink `{}`", kind.type), fmt::format("A sink of `type: {}`.", kind.type), kind.options);
  out.pop_back();
  return out;
}

}  // namespace sluice
