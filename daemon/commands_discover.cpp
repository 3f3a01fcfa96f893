#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "daemon/commands.hpp"
#include "daemon/control.hpp"
#include "daemon/status_json.hpp"

// discover: what a source has, and what its accounts have made up themselves.

namespace sluice {
namespace {

Json column_json(const Column& column) {
  Json json{{"name", column.name}, {"type", to_string(column.type)}};
  if (!column.comment.empty()) json["comment"] = column.comment;
  return json;
}

std::string_view cursor_word(Cursor cursor) {
  switch (cursor) {
    case Cursor::none:
      return "whole";
    case Cursor::date:
      return "days";
    case Cursor::value:
      return "changes";
  }
  return {};
}

std::string_view type_word(const Json& value) {
  if (value.is_boolean()) return "boolean";
  if (value.is_number_float()) return "decimal";
  if (value.is_number()) return "int64";
  return value.is_string() ? "text" : "json";
}

// The members of a stream's open columns, as the newest rows have them.
class Properties final : public Output {
 public:
  struct Enough {};  // ends the extraction after its first page
  explicit Properties(const StreamSpec& spec) : spec_(spec) {}

  task<void> emit(Batch batch) override {
    for (std::size_t at = 0; at < spec_.columns.size(); ++at) {
      if (!spec_.columns[at].open) continue;
      for (std::size_t i = 0; i < batch.rows(); ++i) note(spec_.columns[at], batch.text(batch.row(i)[at]));
    }
    throw Enough();
    co_return;
  }
  void without_columns(const std::vector<std::string>&, const std::string&) override {}
  void incident(const std::string&) override {}
  Priority priority() const override { return Priority::backfill; }

  // Path → what its values are, and the column that it is loaded into.
  struct Found {
    std::set<std::string_view> types;
    std::string column;
  };
  const std::map<std::string, Found>& found() const { return found_; }

 private:
  void note(const Column& column, std::string_view text) {
    const auto object = Json::parse(text, nullptr, false);
    if (!object.is_object()) return;
    for (const auto& [name, value] : object.items()) {
      auto& found = found_[column.name + "." + name];
      if (!value.is_null()) found.types.insert(type_word(value));
      if (found.column.empty()) found.column = column_for(column, name);
    }
  }

  std::string column_for(const Column& open, const std::string& member) const {
    const auto path = open.path + "/" + member;
    for (const auto& column : spec_.columns)
      if (column.path == path) return column.name;
    return open.name;
  }

  const StreamSpec& spec_;
  std::map<std::string, Found> found_;
};

bool is_open(const StreamSpec& spec) {
  return std::any_of(spec.columns.begin(), spec.columns.end(), [](const Column& column) { return column.open; });
}

// Since yesterday's midnight.
Slice newest(const StreamSpec& spec, const Partition& partition, Instant now) {
  const auto yesterday = day_of(now, partition.zone) - 1;
  if (spec.cursor == Cursor::date) return Slice::days(partition, yesterday, yesterday + 2);
  return Slice::values(partition, format_instant(start_of(yesterday, partition.zone)), format_instant(now));
}

// What the streams of the configuration find in the source at present: one page of each partition.
class Survey {
 public:
  explicit Survey(App& app) : app_(app) {}

  task<void> of(const Pipeline& pipeline, const StreamPlan& stream) {
    auto& connector = app_.engine.connector(pipeline.source);
    const auto partitions = co_await connector.partitions(stream.spec);
    for (const auto& partition : partitions)
      if (partition.active) co_await of(connector, pipeline, stream, partition);
  }

  // Of one stream of the catalogue.
  Json json(const std::string& stream) const {
    auto all = Json::array();
    for (const auto& property : properties_)
      if (property["stream_of"] == stream) all.push_back(property);
    for (auto& property : all) property.erase("stream_of");
    return all;
  }

  std::string text(const Terminal& terminal) const {
    TablePrinter table({"STREAM", "PARTITION", "PROPERTY", "VALUES", "COLUMN"});
    for (const auto& p : properties_)
      table.add({p["stream"], p["partition"], p["property"],
                 fmt::format("{}", fmt::join(p["values"].get<std::vector<std::string>>(), " or ")), p["column"]});
    return table.print(terminal);
  }
  bool empty() const { return properties_.empty(); }

 private:
  task<void> of(Connector& connector, const Pipeline& pipeline, const StreamPlan& stream, const Partition& partition) {
    Properties properties(stream.spec);
    const auto slice = newest(stream.spec, partition, app_.clock.now());
    try {
      co_await connector.read(stream.spec, slice, properties);
    } catch (const Properties::Enough&) {
    } catch (const NotOffered&) {
    }
    for (const auto& [path, found] : properties.found())
      properties_.push_back(Json{{"stream", pipeline.name + "/" + stream.name},
                                 {"stream_of", stream.spec.from},
                                 {"partition", partition.id},
                                 {"property", path},
                                 {"values", std::vector<std::string>(found.types.begin(), found.types.end())},
                                 {"column", found.column}});
  }

  App& app_;
  std::vector<Json> properties_;
};

void print_json(const std::vector<StreamSpec>& streams, const Survey& survey) {
  auto all = Json::array();
  for (const auto& stream : streams) {
    Json json{
        {"name", stream.name}, {"reads", cursor_word(stream.cursor)}, {"key", stream.key}, {"comment", stream.comment}};
    for (const auto& column : stream.columns) json["columns"].push_back(column_json(column));
    if (is_open(stream)) json["properties"] = survey.json(stream.name);
    all.push_back(std::move(json));
  }
  print_out(pretty(all));
}

void print_streams(const std::vector<StreamSpec>& streams, const Terminal& terminal) {
  for (const auto& stream : streams) {
    print_out(fmt::format("{}  reads {}, key ({})\n", paint(stream.name, Colour::bold, terminal.colour),
                          cursor_word(stream.cursor), fmt::join(stream.key, ", ")));
    TablePrinter table({"COLUMN", "TYPE", "COMMENT"});
    for (const auto& column : stream.columns) table.add({column.name, to_string(column.type), column.comment});
    print_out(table.print(terminal) + "\n");
  }
}

task<int> discover(App& app, const Arguments& arguments) {
  const auto streams = app.engine.connector(arguments.source).catalogue();
  const auto terminal = Terminal::of(STDOUT_FILENO);
  if (!arguments.json) print_streams(streams, terminal);
  Survey survey(app);
  std::string trouble;
  for (const auto& pipeline : app.configuration->pipelines) {
    if (pipeline.source != arguments.source) continue;
    for (const auto& stream : pipeline.streams) {
      if (!is_open(stream.spec)) continue;
      try {
        co_await survey.of(pipeline, stream);
      } catch (const Error& error) {
        trouble = fmt::format("{}/{}: {}", pipeline.name, stream.name, error.what());
      }
    }
  }
  if (arguments.json)
    print_json(streams, survey);
  else if (!survey.empty())
    print_out("seen since yesterday, of the streams that the configuration has:\n" + survey.text(terminal));
  if (!trouble.empty()) throw Failure(exit_code::failed, "its properties could not be looked at: " + trouble);
  co_return exit_code::done;
}

}  // namespace

int discover_command(const Arguments& arguments) {
  Loop loop;
  const auto configuration = load_or_fail(arguments, false);
  if (!configuration->source(arguments.source)) {
    std::string known;
    for (const auto& source : configuration->sources) known += (known.empty() ? "" : ", ") + source.name;
    throw Failure(exit_code::usage, fmt::format("there is no source {} in {}; there are: {}", arguments.source,
                                                configuration->file, known));
  }
  App app(loop, configuration, quiet_log(arguments));
  return loop.run(discover(app, arguments));
}

}  // namespace sluice
