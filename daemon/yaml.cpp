#include "daemon/yaml.hpp"

#include <fmt/format.h>
#include <simdjson.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <unordered_map>

namespace sluice {
namespace {

constexpr std::size_t largest = 1 << 20;
constexpr std::size_t deepest = 32;

// Builds the tree from the parser's events: yaml-cpp's own tree expands aliases, keeps duplicate keys and forgets tags.
class Builder final : public YAML::EventHandler {
 public:
  Builder(const std::string& file, Faults& faults) : file_(file), faults_(faults) {}
  YamlNode take() { return std::move(root_); }
  // Where the innermost list or mapping that has not ended began.
  Where innermost() const { return stack_.empty() ? Where{file_, 1, 1} : stack_.back().node.where; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { leaf(node(mark, YamlNode::Kind::null)); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases (*name) are not allowed: write the value out");
    leaf(node(mark, YamlNode::Kind::refused));
  }
  // The name of an anchor is not repeated: an unquoted password may begin with & or *.
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    refuse(
        mark,
        "anchors (&name) are not allowed: write the value where it is needed; a text that begins with & needs quotes");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    check_tag(mark, tag);
    auto scalar = node(mark, YamlNode::Kind::scalar);
    scalar.text = value;
    scalar.quoted = tag == "!";  // yaml-cpp: "!" for quoted and block scalars, "?" for plain ones
    leaf(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Key {
    std::string name;
    Where where;
  };
  struct Frame {
    YamlNode node;
    std::optional<Key> key;                      // of a map: its value comes next
    std::unordered_map<std::string, int> names;  // of a map: its keys so far, with their lines
  };

  Where place(const YAML::Mark& mark) const { return Where{file_, mark.line + 1, mark.column + 1}; }
  YamlNode node(const YAML::Mark& mark, YamlNode::Kind kind) const {
    YamlNode made;
    made.kind = kind;
    made.where = place(mark);
    return made;
  }
  void refuse(const YAML::Mark& mark, std::string message) { faults_.emplace_back(place(mark), std::move(message)); }

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    refuse(mark, "tags (!name) are not allowed; a text that begins with ! needs quotes");
  }

  bool wants_key() const {
    return !stack_.empty() && stack_.back().node.kind == YamlNode::Kind::map && !stack_.back().key;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YamlNode::Kind kind) {
    if (wants_key())
      throw YAML::ParserException(mark, "a key must be a plain text (is a template like {{NAME}} left in the file?)");
    if (stack_.size() >= deepest)
      throw YAML::ParserException(mark, fmt::format("nested deeper than {} levels", deepest));
    check_tag(mark, tag);
    stack_.push_back({node(mark, kind), {}, {}});
  }

  void close() {
    auto done = std::move(stack_.back().node);
    stack_.pop_back();
    leaf(std::move(done));
  }

  void leaf(YamlNode value) {
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (auto& parent = stack_.back(); parent.node.kind == YamlNode::Kind::list) {
      parent.node.items.push_back(std::move(value));
    } else if (!parent.key) {
      parent.key = Key{value.kind == YamlNode::Kind::scalar ? value.text : "null", value.where};
    } else {
      put(parent, std::move(*parent.key), std::move(value));
      parent.key.reset();
    }
  }

  void put(Frame& map, Key key, YamlNode value) {
    const auto [first, fresh] = map.names.try_emplace(key.name, key.where.line);
    if (!fresh) {
      faults_.emplace_back(
          key.where, fmt::format("the key \"{}\" stands here a second time, after line {}", key.name, first->second));
      return;
    }
    // Where nothing stands, the parser's mark is already at whatever comes next.
    if (value.kind == YamlNode::Kind::null) value.where = key.where;
    map.node.members.push_back({std::move(key.name), std::move(key.where), std::move(value)});
  }

  const std::string& file_;
  Faults& faults_;
  std::vector<Frame> stack_;
  YamlNode root_;
};

// yaml-cpp replaces what is not UTF-8 and guesses at UTF-16; we would rather say so.
std::optional<Fault> text_fault(std::string_view yaml, const std::string& file) {
  if (yaml.size() > largest) return Fault({file, 0, 0}, "is larger than 1 MiB: this cannot be a sluice.yaml");
  int line = 1;
  for (std::size_t from = 0; from < yaml.size(); ++line) {
    const auto end = std::min(yaml.find('\n', from), yaml.size() - 1);
    const auto text = yaml.substr(from, end - from + 1);
    if (const auto zero = text.find('\0'); zero != std::string_view::npos)
      return Fault({file, line, static_cast<int>(zero) + 1}, "a NUL character: the file must be UTF-8 text");
    if (!simdjson::validate_utf8(text.data(), text.size()))
      return Fault({file, line, 1}, "this line is not valid UTF-8");
    from = end + 1;
  }
  return {};
}

// What yaml-cpp says, with a better place where it has none; never a name out of the file: it could be a secret.
Fault syntax_fault(const YAML::ParserException& error, const std::string& file, const Where& open) {
  if (error.msg == YAML::ErrorMsg::END_OF_SEQ_FLOW)
    return Fault(open, "the list that begins here has no end: is a ] or a comma missing?");
  if (error.msg == YAML::ErrorMsg::END_OF_MAP_FLOW)
    return Fault(open, "the mapping that begins here has no end: is a } or a comma missing?");
  const Where where{file, std::max(error.mark.line, 0) + 1, std::max(error.mark.column, 0) + 1};
  if (error.msg.starts_with(YAML::ErrorMsg::UNKNOWN_ANCHOR))
    return Fault(where, "aliases (*name) are not allowed; a text that begins with * needs quotes");
  return Fault(where, error.msg);
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view name) const {
  for (const auto& member : members)
    if (member.name == name) return &member.value;
  return nullptr;
}

YamlNode parse_yaml(std::string_view yaml, const std::string& file, Faults& faults) {
  if (auto fault = text_fault(yaml, file)) {
    faults.push_back(std::move(*fault));
    return {};
  }
  Builder builder(file, faults);
  try {
    std::istringstream text{std::string(yaml)};
    YAML::Parser parser(text);
    parser.HandleNextDocument(builder);
    Faults ignored;
    Builder second(file, ignored);
    if (parser.HandleNextDocument(second))
      faults.emplace_back(second.take().where, "a second document (after ---) is not allowed");
  } catch (const YAML::ParserException& error) {
    faults.push_back(syntax_fault(error, file, builder.innermost()));
    return {};
  }
  auto root = builder.take();
  if (root.where.line == 0) root.where = {file, 1, 1};
  return root;
}

}  // namespace sluice
