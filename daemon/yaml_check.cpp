#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "daemon/yaml.hpp"

namespace sluice {
namespace {

using Node = Settings::Node;
using NodePtr = std::shared_ptr<const Node>;
using Kind = YamlNode::Kind;

constexpr std::size_t longest_quoted = 40;

bool complete(const Node& node) {
  const auto given = [&](const Option& option) {
    return std::any_of(node.members.begin(), node.members.end(),
                       [&](const auto& member) { return member.first == option.name; });
  };
  const auto lacks = [&](const Option& o) { return o.required && o.value != Value::secret && !given(o); };
  if (node.value == Value::table && !node.from_fallback && std::any_of(node.options.begin(), node.options.end(), lacks))
    return false;
  return std::all_of(node.members.begin(), node.members.end(), [](const auto& m) { return complete(*m.second); }) &&
         std::all_of(node.items.begin(), node.items.end(), [](const auto& item) { return complete(*item); });
}

// A value of the file in a message: short, on one line.
std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, longest_quoted))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (text.size() > longest_quoted ? "…\"" : "\"");
}

bool holds_text(Value kind) {
  return kind == Value::text || kind == Value::secret || kind == Value::text_list || kind == Value::text_lists ||
         kind == Value::text_map;
}

std::string found(const YamlNode& yaml, bool show_text) {
  switch (yaml.kind) {
    case Kind::null:
      return "nothing";
    case Kind::list:
      return "a list";
    case Kind::map:
      return "a mapping";
    default:
      return show_text ? (yaml.quoted ? "the text " : "") + quote(yaml.text) : "a text";
  }
}

// "postgres://user:password@host" and "…?password=…": a secret in the middle of a text.
bool password_in_url(std::string_view text) {
  const auto scheme = text.find("://");
  if (scheme == std::string_view::npos) return false;
  const auto rest = text.substr(scheme + 3);
  const auto authority = rest.substr(0, rest.find_first_of("/?#"));
  const auto at = authority.rfind('@');
  if (at != std::string_view::npos && authority.substr(0, at).find(':') != std::string_view::npos) return true;
  return rest.find("?password=") != std::string_view::npos || rest.find("&password=") != std::string_view::npos;
}

bool plain_name(std::string_view name, std::string_view more) {
  return !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           more.find(c) != std::string_view::npos;
  });
}

class Checker {
 public:
  explicit Checker(Faults& faults, References references = References::allowed)
      : faults_(faults), references_(references) {}

  std::shared_ptr<Node> table(const YamlNode& yaml, std::span<const Option> options, std::string_view name) {
    if (yaml.kind != Kind::map && yaml.kind != Kind::null) {
      wrong(yaml, name, Value::table);
      return untouched(options, yaml.where);
    }
    auto node = make(Value::table, yaml.where);
    node->options = options;
    for (const auto& member : yaml.members) given(member, options, *node);
    for (const auto& option : options) absent(yaml, option, *node);
    return node;
  }

 private:
  static std::shared_ptr<Node> make(Value value, Where where) {
    auto node = std::make_shared<Node>();
    node->value = value;
    node->where = std::move(where);
    return node;
  }

  void fault(const Where& where, std::string message) { faults_.emplace_back(where, std::move(message)); }

  void wrong(const YamlNode& yaml, std::string_view name, Value expected) {
    if (yaml.kind == Kind::refused) return;
    const bool scalar =
        !holds_text(expected) && expected != Value::table && expected != Value::tables && expected != Value::named;
    fault(yaml.where, fmt::format("\"{}\": expected {}, found {}", name, describe(expected), found(yaml, scalar)));
  }

  void given(const YamlNode::Member& member, std::span<const Option> options, Node& into) {
    for (const auto& option : options) {
      if (option.name != member.name) continue;
      if (auto node = value(member.value, option, member.name)) into.members.emplace_back(member.name, std::move(node));
      return;
    }
    std::vector<std::string> known;
    for (const auto& option : options) known.emplace_back(option.name);
    fault(member.where, unknown_name("key", member.name, known));
  }

  void absent(const YamlNode& yaml, const Option& option, Node& into) {
    const auto is_it = [&](const auto& member) { return member.first == option.name; };
    if (std::any_of(into.members.begin(), into.members.end(), is_it)) return;
    const bool refused = yaml.find(option.name) != nullptr;
    if (option.required) {
      if (!refused) fault(yaml.where, fmt::format("\"{}\" is missing: {}", option.name, option.help));
    } else if (option.value == Value::table) {
      into.members.emplace_back(std::string(option.name), untouched(option.children, yaml.where));
    } else if (!option.fallback.empty()) {
      into.members.emplace_back(std::string(option.name), fallback(option, yaml.where));
    }
  }

  // A table that was not written: the fallbacks of its options.
  static std::shared_ptr<Node> untouched(std::span<const Option> options, const Where& where) {
    auto node = make(Value::table, where);
    node->options = options;
    node->from_fallback = true;
    for (const auto& option : options) {
      if (option.value == Value::table)
        node->members.emplace_back(std::string(option.name), untouched(option.children, where));
      else if (!option.fallback.empty())
        node->members.emplace_back(std::string(option.name), fallback(option, where));
    }
    return node;
  }

  static NodePtr fallback(const Option& option, const Where& where) {
    YamlNode written;
    Faults faults;
    const bool composite =
        option.value == Value::text_list || option.value == Value::text_lists || option.value == Value::text_map;
    if (composite) {
      written = parse_yaml(option.fallback, "", faults);
    } else {
      written.kind = Kind::scalar;
      written.text = option.fallback;
    }
    auto node = Checker(faults).value(written, option, option.name);
    if (!faults.empty() || node == nullptr)
      throw std::logic_error(fmt::format("the fallback of option \"{}\" is not one of its values", option.name));
    node->where = where;
    node->from_fallback = true;
    return node;
  }

  std::shared_ptr<Node> value(const YamlNode& yaml, const Option& option, std::string_view name) {
    switch (option.value) {
      case Value::text:
      case Value::secret:
        return text(yaml, option.value, name);
      case Value::text_list:
        return text_list(yaml, name);
      case Value::text_lists:
        return text_lists(yaml, name);
      case Value::text_map:
        return text_map(yaml, name);
      case Value::table:
        return option.children.empty() ? elsewhere(yaml, name) : table(yaml, option.children, name);
      case Value::tables:
        return tables(yaml, option, name);
      case Value::named:
        return named(yaml, option, name);
      default:
        return scalar(yaml, option, name);
    }
  }

  std::shared_ptr<Node> elsewhere(const YamlNode& yaml, std::string_view name) {
    if (yaml.kind != Kind::map && yaml.kind != Kind::null) wrong(yaml, name, Value::table);
    return make(Value::table, yaml.where);
  }

  std::shared_ptr<Node> scalar(const YamlNode& yaml, const Option& option, std::string_view name) {
    const bool unquoted = option.value == Value::boolean || option.value == Value::integer;
    const bool fits = yaml.kind == Kind::scalar && !(unquoted && yaml.quoted);
    if (fits) {
      const auto why = scalar_fault(option, yaml.text);
      if (!why) {
        auto node = make(option.value, yaml.where);
        node->text = yaml.text;
        return node;
      }
      fault(yaml.where, fmt::format("\"{}\": found {}, {}", name, quote(yaml.text), *why));
      return nullptr;
    }
    wrong(yaml, name, option.value);
    return nullptr;
  }

  std::shared_ptr<Node> text(const YamlNode& yaml, Value kind, std::string_view name) {
    auto node = make(kind, yaml.where);
    if (yaml.kind == Kind::map) return reference(yaml, name, std::move(node));
    if (yaml.kind != Kind::scalar) {
      wrong(yaml, name, kind);
      return nullptr;
    }
    if (kind == Value::secret) {
      fault(yaml.where,
            fmt::format("\"{}\" is a secret, and secrets are never written into this file: expected {}, found a text",
                        name, describe(kind)));
      return nullptr;
    }
    if (password_in_url(yaml.text)) {
      fault(yaml.where,
            fmt::format("\"{}\": a password stands in this URL: give it beside the URL as `password: {{env: NAME}}`, "
                        "or make the whole URL a reference",
                        name));
      return nullptr;
    }
    node->reference = TextRef(TextRef::From::literal, yaml.text);
    node->text = yaml.text;
    return node;
  }

  std::shared_ptr<Node> reference(const YamlNode& yaml, std::string_view name, std::shared_ptr<Node> node) {
    if (references_ == References::refused) {
      fault(yaml.where, fmt::format("\"{}\": expected the text itself, found a reference", name));
      return nullptr;
    }
    static const std::pair<std::string_view, TextRef::From> ways[] = {
        {"env", TextRef::From::env}, {"file", TextRef::From::file}, {"credential", TextRef::From::credential}};
    if (yaml.members.size() == 1 && yaml.members.front().value.kind == Kind::scalar) {
      const auto& [key, where, target] = yaml.members.front();
      for (const auto& [word, from] : ways) {
        if (key != word) continue;
        if (auto why = bad_target(from, target.text); !why.empty()) {
          fault(target.where, fmt::format("\"{}\": {}", name, why));
          return nullptr;
        }
        node->reference = TextRef(from, target.text);
        return node;
      }
    }
    if (std::any_of(yaml.members.begin(), yaml.members.end(),
                    [](const auto& m) { return m.value.kind == Kind::refused; }))
      return nullptr;
    fault(yaml.where,
          fmt::format("\"{}\": a reference is {{env: NAME}}, {{file: PATH}} or {{credential: NAME}}, with one name; "
                      "found another mapping",
                      name));
    return nullptr;
  }

  // The target is not repeated: somebody may have put the secret itself there.
  static std::string bad_target(TextRef::From from, std::string_view target) {
    if (from == TextRef::From::env && (!plain_name(target, "_") || (target.front() >= '0' && target.front() <= '9')))
      return "expected the name of an environment variable behind env: letters, digits and _";
    if (from == TextRef::From::credential && (!plain_name(target, "_.-") || target.front() == '.'))
      return "expected the name of a file in $CREDENTIALS_DIRECTORY behind credential: letters, digits, _ . and -";
    if (from == TextRef::From::file && (target.empty() || target.find('\0') != std::string_view::npos))
      return "expected the path of a file behind file:";
    return {};
  }

  std::shared_ptr<Node> text_list(const YamlNode& yaml, std::string_view name) {
    auto node = make(Value::text_list, yaml.where);
    if (yaml.kind == Kind::list) {
      for (const auto& item : yaml.items)
        if (auto one = text(item, Value::text, name)) node->items.push_back(std::move(one));
      return node;
    }
    if (yaml.kind != Kind::scalar && yaml.kind != Kind::map) {
      wrong(yaml, name, Value::text_list);
      return nullptr;
    }
    if (auto one = text(yaml, Value::text, name)) node->items.push_back(std::move(one));
    return node;
  }

  std::shared_ptr<Node> text_lists(const YamlNode& yaml, std::string_view name) {
    auto node = make(Value::text_lists, yaml.where);
    const bool fits =
        yaml.kind == Kind::list && std::all_of(yaml.items.begin(), yaml.items.end(), [](const YamlNode& item) {
          return item.kind == Kind::list || item.kind == Kind::refused;
        });
    if (!fits) {
      if (yaml.kind == Kind::list)
        fault(yaml.where, fmt::format("\"{}\": expected {}, found a list of texts", name, describe(Value::text_lists)));
      else
        wrong(yaml, name, Value::text_lists);
      return nullptr;
    }
    for (const auto& item : yaml.items)
      if (item.kind == Kind::list) node->items.push_back(text_list(item, name));
    return node;
  }

  std::shared_ptr<Node> text_map(const YamlNode& yaml, std::string_view name) {
    auto node = make(Value::text_map, yaml.where);
    if (yaml.kind != Kind::map) {
      wrong(yaml, name, Value::text_map);
      return nullptr;
    }
    for (const auto& member : yaml.members)
      if (auto one = text(member.value, Value::text, member.name))
        node->members.emplace_back(member.name, std::move(one));
    return node;
  }

  std::shared_ptr<Node> tables(const YamlNode& yaml, const Option& option, std::string_view name) {
    auto node = make(Value::tables, yaml.where);
    if (yaml.kind != Kind::list) {
      wrong(yaml, name, Value::tables);
      return nullptr;
    }
    for (const auto& item : yaml.items) node->items.push_back(table(item, option.children, name));
    return node;
  }

  std::shared_ptr<Node> named(const YamlNode& yaml, const Option& option, std::string_view name) {
    auto node = make(Value::named, yaml.where);
    if (yaml.kind != Kind::map && yaml.kind != Kind::null) {
      wrong(yaml, name, Value::named);
      return nullptr;
    }
    if (option.children.empty()) return node;
    for (const auto& member : yaml.members)
      node->members.emplace_back(member.name, table(member.value, option.children, member.name));
    return node;
  }

  Faults& faults_;
  References references_;
};

}  // namespace

Settings check_settings(const YamlNode& yaml, std::span<const Option> table, Faults& faults, std::string_view name,
                        References references) {
  return Settings(Checker(faults, references).table(yaml, table, name));
}

Settings check_settings(const YamlNode& yaml, std::shared_ptr<const std::vector<Option>> table, Faults& faults,
                        std::string_view name, References references) {
  auto node = Checker(faults, references).table(yaml, *table, name);
  node->owned_options = std::move(table);
  return Settings(std::move(node));
}

bool complete(const Settings& settings) {
  const auto* node = settings.node();
  return node != nullptr && complete(*node);
}

Settings parse_settings(std::string_view yaml, const std::string& file, std::span<const Option> table, Faults& faults) {
  Faults broken;
  const auto tree = parse_yaml(yaml, file, broken);
  const bool readable = tree.where.line != 0;
  faults.insert(faults.end(), broken.begin(), broken.end());
  if (!readable) return {};
  auto settings = check_settings(tree, table, faults);
  sort_faults(faults);
  return settings;
}

void sort_faults(Faults& faults) {
  const auto place = [](const Fault& f) { return std::tie(f.where.file, f.where.line, f.where.column, f.message); };
  std::stable_sort(faults.begin(), faults.end(), [&](const Fault& a, const Fault& b) { return place(a) < place(b); });
  const auto same = [&](const Fault& a, const Fault& b) { return place(a) == place(b); };
  faults.erase(std::unique(faults.begin(), faults.end(), same), faults.end());
}

std::string unknown_name(std::string_view what, std::string_view name, std::span<const std::string> known) {
  auto message = fmt::format("unknown {} {}", what, quote(name));
  if (const auto near = nearest_name(name, known)) return message + fmt::format("; did you mean \"{}\"?", *near);
  if (known.empty()) return message + "; there are none";
  std::string all;
  for (const auto& one : known) all += (all.empty() ? "" : ", ") + one;
  return message + "; known here: " + all;
}

}  // namespace sluice
