#include "daemon/pipelines.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>

#include "core/error.hpp"

namespace sluice {
namespace {

using Shape = YamlNode::Kind;

bool is_reference(const YamlNode& yaml) {
  if (yaml.kind != Shape::map || yaml.members.size() != 1) return false;
  const auto& key = yaml.members.front().name;
  return key == "env" || key == "file" || key == "credential";
}

bool says_when(const YamlNode& schedule) {
  return schedule.find("cron") != nullptr || schedule.find("every") != nullptr || schedule.find("after") != nullptr;
}

// What the pipeline says wins, mapping by mapping. A pipeline that says when it fires does not want the default's
// way of saying so beside its own.
YamlNode merged(const YamlNode& base, const YamlNode& over) {
  if (over.kind == Shape::null) return base;
  if (base.kind != Shape::map || over.kind != Shape::map || is_reference(base) || is_reference(over)) return over;
  auto made = over;
  const bool own_schedule = says_when(over);
  for (const auto& member : base.members) {
    const auto same = [&](const YamlNode::Member& m) { return m.name == member.name; };
    const auto at = std::find_if(made.members.begin(), made.members.end(), same);
    const bool fires = member.name == "cron" || member.name == "every" || member.name == "after";
    if (at != made.members.end())
      at->value = merged(member.value, at->value);
    else if (!(own_schedule && fires))
      made.members.push_back(member);
  }
  return made;
}

template <typename T>
T word(const Settings& settings, std::string_view name, std::initializer_list<std::pair<std::string_view, T>> words) {
  const auto text = settings.text(name);
  for (const auto& [known, value] : words)
    if (known == text) return value;
  throw std::logic_error("a choice that the table does not know");
}

void read_when(const Settings& schedule, Schedule& into, Faults& faults, Faults& warnings) {
  std::vector<std::string> ways;
  for (const auto* way : {"cron", "every", "after"})
    if (schedule.has(way)) ways.emplace_back(way);
  if (ways.size() > 1) {
    faults.emplace_back(
        schedule.where(ways[1]),
        fmt::format("\"{}\" stands beside \"{}\": a schedule has one of cron, every, after", ways[1], ways[0]));
    return;
  }
  if (schedule.has("cron")) {
    std::string why;
    const auto text = schedule.text("cron");
    const auto cron = Cron::parse(text, why);
    if (!cron) {
      faults.emplace_back(schedule.where("cron"), why);
      return;
    }
    if (cron->either_day())
      warnings.emplace_back(
          schedule.where("cron"),
          fmt::format("\"{}\" restricts both the day of the month and the weekday: it fires on every day that "
                      "matches either",
                      text));
    into.when = *cron;
  } else if (schedule.has("every")) {
    into.when = schedule.duration("every");
  } else if (schedule.has("after")) {
    into.when = schedule.texts("after");
    if (schedule.texts("after").empty()) faults.emplace_back(schedule.where("after"), "\"after\" names no pipeline");
  }
}

Schedule read_schedule(const Settings& schedule, const std::string& zone, Faults& faults, Faults& warnings) {
  Schedule made;
  made.zone_name = schedule.has("timezone") ? schedule.text("timezone") : zone;
  made.zone = load_zone(made.zone_name).value();
  made.dst = word<Dst>(schedule, "dst", {{"once", Dst::once}, {"skip", Dst::skip}, {"both", Dst::both}});
  made.missed =
      word<Missed>(schedule, "missed", {{"latest", Missed::latest}, {"all", Missed::all}, {"none", Missed::none}});
  made.overlap = word<Overlap>(schedule, "overlap",
                               {{"skip", Overlap::skip}, {"queue", Overlap::queue}, {"replace", Overlap::replace}});
  if (schedule.has("start_deadline")) made.start_deadline = schedule.duration("start_deadline");
  if (schedule.has("jitter")) made.jitter = schedule.duration("jitter");
  read_when(schedule, made, faults, warnings);
  return made;
}

// Reads one pipeline after the other. A connector of each source is made for asking it about streams, used or not: what
// it refuses is a fault of the file. They touch nothing, read no secret, and are thrown away.
class PipelineReader {
 public:
  PipelineReader(const std::vector<std::string>& faulty, const std::string& zone, Configuration& configuration,
                 Faults& faults)
      : faulty_(faulty), zone_(zone), configuration_(configuration), faults_(faults) {
    for (const auto& source : configuration.sources)
      if (complete(source.settings)) connectors_[source.name] = make_connector(source);
  }

  void read(const std::string& name, const Where& where, YamlNode yaml) {
    if (const auto why = name_fault(name)) faults_.emplace_back(where, *why);
    YamlNode streams;
    const bool has_streams = take_streams(yaml, streams);
    Pipeline made;
    made.name = name;
    made.source = known(yaml, "source", names_of(configuration_.sources));
    made.sink = known(yaml, "sink", names_of(configuration_.sinks));
    const auto settings = check_settings(yaml, pipeline_options(), faults_, name, References::refused);
    if (has_streams) read_streams(streams, settings, made);
    made.settings = settings;
    made.enabled = settings.flag("enabled");
    made.schedule = read_schedule(settings.table("schedule"), zone_, faults_, configuration_.warnings);
    if (settings.has("freshness")) made.freshness = settings.duration("freshness");
    made.timeout = settings.duration("timeout");
    const auto retry = settings.table("retry");
    made.retry = {static_cast<int>(retry.integer("runs")), retry.range("backoff").least, retry.range("backoff").most};
    configuration_.pipelines.push_back(std::move(made));
  }

 private:
  // Streams are checked against the connector's table, not with the pipeline.
  bool take_streams(YamlNode& yaml, YamlNode& streams) {
    for (auto& member : yaml.members) {
      if (member.name != "streams") continue;
      streams = member.value;
      if (streams.kind != Shape::scalar) return streams.kind == Shape::map;
      member.value.kind = Shape::null;
      if (streams.text == "all") return true;
      faults_.emplace_back(
          streams.where,
          fmt::format("\"streams\": found \"{}\", expected a mapping of streams, or all", streams.text.substr(0, 40)));
      return false;
    }
    return false;
  }

  // The name of the source or the sink; what is not a text is the table's to refuse.
  std::string known(const YamlNode& yaml, std::string_view what, const std::vector<std::string>& names) {
    const auto* given = yaml.find(what);
    if (given == nullptr || given->kind != Shape::scalar) return {};
    const auto in = [&](const std::vector<std::string>& all) {
      return std::find(all.begin(), all.end(), given->text) != all.end();
    };
    if (!in(names) && !in(faulty_)) faults_.emplace_back(given->where, unknown_name(what, given->text, names));
    return given->text;
  }

  std::unique_ptr<Connector> make_connector(const SourceSettings& source) {
    const ConnectorContext context{source.name, loop_.get_executor(), clock_, events_, rng_};
    try {
      return source.kind->make(source.settings, context);
    } catch (const Error& error) {
      faults_.emplace_back(source.settings.where(), error.what());
    }
    return {};
  }

  void read_streams(const YamlNode& yaml, const Settings& settings, Pipeline& into) {
    const auto& connector = connectors_[into.source];
    if (connector == nullptr) return;
    const auto& source = *configuration_.source(into.source);
    const auto chosen = choose(yaml, settings, *connector);
    for (const auto& member : chosen) {
      if (const auto why = name_fault(member.name)) faults_.emplace_back(member.where, *why);
      if (auto stream = read_stream(member, source, *connector, configuration_.mask_key, faults_))
        into.streams.push_back(std::move(*stream));
    }
    if (chosen.empty()) faults_.emplace_back(yaml.where, fmt::format("pipeline \"{}\" has no streams", into.name));
  }

  std::vector<YamlNode::Member> choose(const YamlNode& yaml, const Settings& settings, const Connector& connector) {
    const auto exclude = settings.texts("exclude");
    if (yaml.kind != Shape::scalar) {
      if (settings.has("exclude"))
        faults_.emplace_back(settings.where("exclude"),
                             "\"exclude\" belongs to `streams: all`; here the streams are named");
      return yaml.members;
    }
    const auto names = names_of(connector.catalogue());
    for (const auto& name : exclude)
      if (std::find(names.begin(), names.end(), name) == names.end())
        faults_.emplace_back(settings.where("exclude"), unknown_name("stream", name, names));
    std::vector<YamlNode::Member> chosen;
    for (const auto& name : names) {
      if (std::find(exclude.begin(), exclude.end(), name) != exclude.end()) continue;
      YamlNode empty;
      empty.where = yaml.where;
      chosen.push_back({name, yaml.where, empty});
    }
    return chosen;
  }

  const std::vector<std::string>& faulty_;
  const std::string& zone_;
  Configuration& configuration_;
  Faults& faults_;
  asio::io_context loop_;
  RealClock clock_{loop_.get_executor()};
  NoEvents events_;
  Rng rng_;
  std::map<std::string, std::unique_ptr<Connector>> connectors_;  // of each source that one can be made of
};

// Two enabled streams that write one table would delete each other's rows.
void check_tables(const Configuration& configuration, Faults& faults) {
  std::map<std::pair<std::string, std::string>, std::string> owners;
  for (const auto& pipeline : configuration.pipelines) {
    for (const auto& stream : pipeline.streams) {
      if (!pipeline.enabled || !stream.enabled) continue;
      const auto name = pipeline.name + "/" + stream.name;
      const auto [owner, fresh] = owners.try_emplace({pipeline.sink, stream.table.name}, name);
      if (!fresh)
        faults.emplace_back(
            stream.settings.where("table"),
            fmt::format("{} would write the table \"{}\" of sink \"{}\", which {} writes: give one of them "
                        "another `table`, or `enabled: false`",
                        name, stream.table.name, pipeline.sink, owner->second));
    }
  }
}

void check_partitions(const Configuration& configuration, Faults& faults) {
  for (const auto& pipeline : configuration.pipelines) {
    const auto* sink = configuration.sink(pipeline.sink);
    if (sink == nullptr || sink->kind->partitions) continue;
    for (const auto& stream : pipeline.streams)
      if (stream.table.partition_by)
        faults.emplace_back(
            stream.settings.table("load").where("partition_by"),
            fmt::format("\"partition_by\": sink \"{}\" is {}, which has no partitioned tables; remove it", sink->name,
                        sink->kind->type));
  }
}

void check_after(const Configuration& configuration, const std::vector<std::string>& names, Faults& faults) {
  const auto after = [&](const std::string& name) -> const std::vector<std::string>* {
    const auto* pipeline = configuration.pipeline(name);
    return pipeline == nullptr ? nullptr : std::get_if<std::vector<std::string>>(&pipeline->schedule.when);
  };
  const auto place = [](const Pipeline& pipeline) { return pipeline.settings.table("schedule").where("after"); };
  std::map<std::string, int> seen;  // 1: on the way, 2: done
  std::vector<std::string> way;
  const std::function<void(const std::string&)> visit = [&](const std::string& name) {
    const auto* others = after(name);
    if (others == nullptr || seen[name] == 2) return;
    seen[name] = 1;
    way.push_back(name);
    for (const auto& other : *others) {
      if (seen[other] != 1) {
        visit(other);
        continue;
      }
      std::string circle;
      for (auto at = std::find(way.begin(), way.end(), other); at != way.end(); ++at) circle += *at + " after ";
      faults.emplace_back(place(*configuration.pipeline(name)),
                          "pipelines wait for each other and would never fire: " + circle + other);
    }
    way.pop_back();
    seen[name] = 2;
  };
  for (const auto& pipeline : configuration.pipelines) {
    if (const auto* others = after(pipeline.name))
      for (const auto& other : *others)
        if (std::find(names.begin(), names.end(), other) == names.end())
          faults.emplace_back(place(pipeline), unknown_name("pipeline", other, names));
    visit(pipeline.name);
  }
}

}  // namespace

std::optional<std::string> name_fault(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto good = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-'; };
  if (!name.empty() && name.size() <= 63 && letter(name.front()) && std::all_of(name.begin(), name.end(), good))
    return {};
  return fmt::format("\"{}\" cannot be a name: expected a letter, then letters, digits, _ and -, 63 at most",
                     name.substr(0, 40));
}

void read_pipelines(const YamlNode& file, const std::vector<std::string>& faulty, const std::string& zone,
                    Configuration& configuration, Faults& faults) {
  YamlNode defaults;
  if (const auto* given = file.find("defaults")) {
    defaults = *given;
    check_settings(defaults, default_options(), faults, "defaults");
  }
  PipelineReader reader(faulty, zone, configuration, faults);
  const auto* pipelines = file.find("pipelines");
  if (pipelines == nullptr || pipelines->members.empty()) {
    configuration.warnings.emplace_back(file.where, "there are no pipelines: nothing will be loaded");
    return;
  }
  std::vector<std::string> names;
  for (const auto& member : pipelines->members) {
    names.push_back(member.name);
    auto yaml = member.value.kind == Shape::null ? YamlNode() : member.value;
    if (yaml.where.line == 0) yaml.where = member.where;
    if (yaml.kind == Shape::map && defaults.kind == Shape::map) yaml = merged(defaults, yaml);
    reader.read(member.name, member.where, std::move(yaml));
  }
  check_tables(configuration, faults);
  check_partitions(configuration, faults);
  check_after(configuration, names, faults);
}

}  // namespace sluice
