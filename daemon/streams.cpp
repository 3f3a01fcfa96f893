#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "daemon/pipelines.hpp"
#include "sinks/table_plan.hpp"

namespace sluice {
namespace {

constexpr auto one_day = std::chrono::hours(24);

std::string join(const std::vector<std::string>& names) {
  std::string all;
  for (const auto& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

// Reads what every stream takes, and puts it together with what the connector made of the stream.
class StreamReader {
 public:
  StreamReader(StreamPlan& plan, std::shared_ptr<const MaskKey> mask_key, Faults& faults)
      : plan_(plan), settings_(plan.settings), mask_key_(std::move(mask_key)), faults_(faults) {}

  void read(const std::string& source) {
    plan_.enabled = settings_.flag("enabled");
    read_new_fields(settings_.table("schema"));
    read_window(settings_.table("window"));
    read_sweep();
    read_load(settings_.table("load"));
    name_table(source);
    const auto before = faults_.size();
    plan_.transform = Transform::make(plan_.spec, steps(), plan_.table, faults_);
    if (faults_.size() != before) return;
    check_columns();
    read_partition_by(settings_.table("load"));
    read_indexes(settings_.table("load"));
  }

 private:
  void fault(const Where& where, std::string message) { faults_.emplace_back(where, std::move(message)); }

  const Column* column(std::string_view name) const {
    for (const auto& one : plan_.spec.columns)
      if (one.name == name) return &one;
    return nullptr;
  }

  void read_new_fields(const Settings& schema) {
    auto& spec = plan_.spec;
    const auto word = schema.text("new_fields");
    spec.new_fields = word == "add"             ? NewFields::add
                      : word == "keep_in_extra" ? NewFields::keep_in_extra
                      : word == "fail"          ? NewFields::fail
                                                : NewFields::ignore;
    plan_.table.type_changes = schema.text("types") == "fail" ? TypeChanges::fail : TypeChanges::widen;
    if (spec.new_fields != NewFields::keep_in_extra || column(extra_column) != nullptr) return;
    spec.columns.emplace_back(std::string(extra_column), Type::json, "", false,
                              "Fields of the source that have no column");
    spec.columns.back().path.clear();
  }

  // A duration that counts days.
  std::optional<Duration> days(const Settings& window, std::string_view name, Duration least) {
    if (!window.has(name)) return {};
    const auto value = window.duration(name);
    if (value >= least && value % one_day == Duration::zero() && value <= one_day * 36'500) return value;
    fault(window.where(name),
          fmt::format("\"{}\": found {}, expected whole days, like 28d", name, format_duration(value)));
    return {};
  }

  void read_window(const Settings& window) {
    if (settings_.has("window") && plan_.spec.cursor != Cursor::date) {
      fault(settings_.where("window"),
            fmt::format("stream \"{}\" is not read by days: it has no `window`", plan_.name));
      return;
    }
    plan_.lookback = plan_.spec.lookback;
    if (const auto lookback = days(window, "lookback", Duration::zero())) plan_.lookback = lookback;
    // Yesterday and today come on top of it.
    plan_.slice_days = plan_.spec.slice_days > 0
                           ? plan_.spec.slice_days
                           : static_cast<int>(plan_.lookback.value_or(Duration::zero()) / one_day) + 2;
    if (const auto slice = days(window, "slice", one_day)) plan_.slice_days = static_cast<int>(*slice / one_day);
    if (window.has("start")) plan_.start = window.day("start");
  }

  void read_sweep() {
    if (!settings_.has("sweep")) return;
    if (plan_.spec.cursor != Cursor::value)
      return fault(settings_.where("sweep"),
                   fmt::format("stream \"{}\" is not read by what changed: `sweep` is not for it", plan_.name));
    plan_.sweep = settings_.duration("sweep");
  }

  void read_load(const Settings& load) {
    auto& spec = plan_.spec;
    if (load.has("mode")) {
      const auto word = load.text("mode");
      spec.mode = word == "append" ? LoadMode::append : word == "replace" ? LoadMode::replace : LoadMode::merge;
    }
    if (spec.mode == LoadMode::replace && spec.cursor != Cursor::none)
      fault(load.where("mode"),
            fmt::format("\"mode\": replace swaps the whole table, and stream \"{}\" is read in parts", plan_.name));
    if (load.has("key") && !load.has("mode") && spec.mode == LoadMode::append) spec.mode = LoadMode::merge;
    if (load.has("key")) read_key(load);
    if (spec.mode == LoadMode::append) spec.key.clear();
    if (spec.mode == LoadMode::merge && spec.key.empty() && !load.has("key"))
      fault(load.where(), fmt::format("stream \"{}\" has no key to merge by: give load.key, or load.mode append{}",
                                      plan_.name, spec.cursor == Cursor::none ? " or replace" : ""));
    plan_.table.mode = spec.mode;
  }

  // The window's columns come first: publishing finds a window's rows by them.
  void read_key(const Settings& load) {
    auto& spec = plan_.spec;
    if (spec.mode == LoadMode::append)
      return fault(load.where("key"), "\"key\": rows are appended without a key; leave it out, or take mode merge");
    if (load.texts("key").empty())
      return fault(load.where("key"), "\"key\": it is empty: name its columns, or leave it out");
    std::vector<std::string> key;
    const auto add = [&](const std::string& name) {
      if (!name.empty() && std::find(key.begin(), key.end(), name) == key.end()) key.push_back(name);
    };
    add(spec.partition_column);
    if (spec.cursor == Cursor::date) add(spec.cursor_column);
    std::vector<std::string> known;
    for (const auto& one : spec.columns) known.push_back(one.name);
    for (const auto& name : load.texts("key")) {
      if (column(name) == nullptr)
        fault(load.where("key"), unknown_name("column", name, known));
      else
        add(name);
    }
    spec.key = std::move(key);
  }

  void name_table(const std::string& source) {
    auto& table = plan_.table;
    table.comment = plan_.spec.comment;
    if (settings_.has("table")) {
      table.name = settings_.text("table");
    } else {
      table.name = source + "_" + plan_.name;
      for (auto& c : table.name) c = c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    if (!is_identifier(table.name))
      fault(settings_.where("table"),
            fmt::format("\"{}\" cannot be the name of a table: expected a small letter or _, then small "
                        "letters, digits and _, 63 at most; give another `table`",
                        table.name));
    else if (table.name.starts_with("_sluice_"))
      fault(settings_.where("table"), "\"table\": names that begin with _sluice_ are sluice's own");
  }

  std::vector<TransformStep> steps() {
    std::vector<TransformStep> made;
    using Action = TransformStep::Action;
    static constexpr std::pair<const char*, Action> actions[] = {{"select", Action::select},
                                                                 {"rename", Action::rename},
                                                                 {"cast", Action::cast},
                                                                 {"drop", Action::drop},
                                                                 {"mask", Action::mask}};
    for (const auto& item : settings_.tables("transform")) {
      const auto given = item.given();
      if (given.empty()) continue;  // what stood there was refused already
      if (given.size() > 1) {
        fault(item.where(),
              fmt::format("a step of `transform` has one key: select, rename, cast, drop or mask; found {}",
                          join(given)));
        continue;
      }
      for (const auto& [name, action] : actions) {
        if (given.front() != name) continue;
        TransformStep step;
        step.action = action;
        step.where = item.where(name);
        step.key = mask_key_;
        if (action == Action::rename || action == Action::cast || action == Action::mask)
          step.pairs = item.text_map(name);
        else
          step.columns = item.texts(name);
        made.push_back(std::move(step));
      }
    }
    return made;
  }

  void check_columns() {
    for (const auto& one : plan_.table.columns) {
      if (!is_identifier(one.name))
        fault(settings_.where("transform"),
              fmt::format("\"{}\" cannot be the name of a column: expected a small letter or _, then "
                          "small letters, digits and _, 63 at most",
                          one.name));
      else if (one.name.starts_with("_sluice_") && one.name != extra_column)
        fault(settings_.where("transform"),
              fmt::format("column \"{}\": names that begin with _sluice_ are sluice's own", one.name));
    }
    if (plan_.table.columns.empty()) fault(settings_.where("transform"), "no columns are left");
    if (const auto why = window_fault(plan_.table)) fault(settings_.where("transform"), *why);
  }

  std::vector<std::string> columns_left() const {
    std::vector<std::string> names;
    for (const auto& one : plan_.table.columns) names.push_back(one.name);
    return names;
  }

  void read_partition_by(const Settings& load) {
    if (!load.has("partition_by")) return;
    using Unit = PartitionBy::Unit;
    const auto text = load.text("partition_by");
    const auto where = load.where("partition_by");
    const auto bracket = text.find('(');
    const auto unit = text.substr(0, bracket);
    const bool known_unit = unit == "day" || unit == "month" || unit == "year";
    if (!known_unit || bracket == std::string::npos || !text.ends_with(')'))
      return fault(
          where,
          fmt::format("\"partition_by\": found \"{}\", expected day(column), month(column) or year(column)", text));
    PartitionBy by;
    by.unit = unit == "day" ? Unit::day : unit == "month" ? Unit::month : Unit::year;
    by.column = text.substr(bracket + 1, text.size() - bracket - 2);
    const auto* target = plan_.table.find(by.column);
    if (target == nullptr) return fault(where, unknown_name("column", by.column, columns_left()));
    if (target->type.type != Type::date && target->type.type != Type::timestamp)
      return fault(where, fmt::format("\"partition_by\": column {} is {}, expected a date or a timestamp", by.column,
                                      to_string(target->type)));
    const auto& key = plan_.table.key;
    if (plan_.table.mode == LoadMode::merge && std::find(key.begin(), key.end(), by.column) == key.end())
      return fault(
          where,
          fmt::format("\"partition_by\": column {} is not part of the key ({}), as it must be in a partitioned table",
                      by.column, join(key)));
    plan_.table.partition_by = std::move(by);
  }

  void read_indexes(const Settings& load) {
    for (const auto& index : load.text_lists("indexes")) {
      if (index.empty()) fault(load.where("indexes"), "\"indexes\": an index without columns");
      for (const auto& name : index)
        if (plan_.table.find(name) == nullptr)
          fault(load.where("indexes"), unknown_name("column", name, columns_left()));
      plan_.table.indexes.push_back(index);
    }
  }

  StreamPlan& plan_;
  const Settings& settings_;
  std::shared_ptr<const MaskKey> mask_key_;
  Faults& faults_;
};

}  // namespace

std::optional<StreamPlan> read_stream(const YamlNode::Member& yaml, const SourceSettings& source,
                                      const Connector& connector, std::shared_ptr<const MaskKey> mask_key,
                                      Faults& faults) {
  StreamPlan plan;
  plan.name = yaml.name;
  plan.settings = check_settings(yaml.value, source.stream_options, faults, yaml.name, References::refused);
  const auto* from = yaml.value.find("from");
  const std::string defining(source.kind->defining_option);
  const bool defined = from == nullptr && !defining.empty() && yaml.value.find(defining) != nullptr;
  const auto base = defined                                                   ? defining
                    : from != nullptr && from->kind == YamlNode::Kind::scalar ? from->text
                                                                              : yaml.name;
  auto known = names_of(connector.catalogue());
  if (defined) known.push_back(defining);
  if (std::find(known.begin(), known.end(), base) == known.end()) {
    auto why = unknown_name("stream", base, known);
    if (from == nullptr) why += "; a stream of another name says which one it is made `from`";
    faults.emplace_back(from != nullptr ? from->where : yaml.where, std::move(why));
    return {};
  }
  if (!complete(plan.settings)) return {};
  const auto before = faults.size();
  plan.spec = connector.configure(base, plan.settings, faults);
  if (faults.size() != before) return {};
  plan.spec.name = yaml.name;
  if (plan.spec.options.node() == nullptr) plan.spec.options = plan.settings;
  StreamReader(plan, std::move(mask_key), faults).read(source.name);
  if (faults.size() != before) return {};
  // They stay for as long as the daemon runs, in each of its pipelines.
  plan.spec.columns.shrink_to_fit();
  plan.table.columns.shrink_to_fit();
  return plan;
}

}  // namespace sluice
