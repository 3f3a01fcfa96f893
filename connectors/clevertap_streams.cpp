#include "connectors/clevertap_streams.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::ct {
namespace {

using namespace std::chrono_literals;

constexpr Option promoted_options[] = {
    {.name = "path",
     .value = Value::text,
     .help = "Where the value stands: event_props.Amount, session_props.utm_source, profile.profileData.Plan.",
     .required = true},
    {.name = "type", .value = Value::type, .help = "The column's type.", .fallback = "text"},
};

constexpr Option settings_of_streams[] = {
    {.name = "names",
     .value = Value::text_list,
     .help = "events, event_counts, profiles: the events to read. Left out: all that the account's schema lists; for "
             "profiles, those who launched the app."},
    {.name = "promote",
     .value = Value::named,
     .help = "events: columns of their own for values inside the JSON ones, by the columns' names.",
     .children = promoted_options},
    {.name = "include",
     .value = Value::text_list,
     .help = "events, profiles: what else of the person's present state comes with each record: app, profile, events. "
             "Left out: nothing for events, all for profiles."},
    {.name = "reconcile",
     .value = Value::boolean,
     .help = "events: compare the records of each day with CleverTap's own count of them.",
     .fallback = "false"},
    {.name = "history",
     .value = Value::duration,
     .help = "profiles, campaigns, campaign_reports: how far back the first read looks. Left out: 90d."},
};

constexpr Duration default_history = 90 * 24h;

bool holds(const std::vector<std::string>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// Makes columns whose paths are entries of the API's profile.
class Columns {
 public:
  Columns(StreamSpec& spec, const ApiProfile& profile) : spec_(spec), profile_(profile) {}

  void add(std::string name, DataType type, std::string_view entry, bool required = false, std::string comment = {}) {
    const auto& paths = profile_.names(entry);
    spec_.columns.emplace_back(std::move(name), type, paths.front(), required, std::move(comment));
    spec_.columns.back().aliases.assign(paths.begin() + 1, paths.end());
  }
  // An object whose members the app's makers name.
  void add_open(std::string name, std::string_view entry) {
    add(std::move(name), Type::json, entry);
    spec_.columns.back().open = true;
  }
  // One that is not in the records.
  void make(std::string name, DataType type, std::string comment = {}, std::vector<std::string> made_of = {}) {
    spec_.columns.emplace_back(std::move(name), type, "", false, std::move(comment));
    spec_.columns.back().path.clear();
    spec_.columns.back().made_of = std::move(made_of);
  }

 private:
  StreamSpec& spec_;
  const ApiProfile& profile_;
};

StreamSpec named(const std::string& name, const Settings& options, std::string comment) {
  StreamSpec spec;
  spec.name = spec.from = name;
  spec.options = options;
  spec.comment = std::move(comment);
  return spec;
}

void by_days(StreamSpec& spec) {
  spec.cursor = Cursor::date;
  spec.partition_column = "event_name";
  spec.cursor_column = "event_date";
  spec.lookback = 3 * 24h;  // apps send what they gathered offline later
}

// A column of its own for a value inside `event_props`, `session_props` or `profile`.
void promote(StreamSpec& spec, const std::string& name, const Settings& table, const ApiProfile& profile,
             Faults& faults) {
  const auto text = table.text("path");
  const auto dot = text.find('.');
  const auto root = text.substr(0, dot);
  const std::string_view entry = root == "event_props"     ? "event.props"
                                 : root == "session_props" ? "event.session"
                                 : root == "profile"       ? "event.profile"
                                                           : "";
  auto inside = dot == std::string::npos ? std::string() : text.substr(dot + 1);
  const bool gap = root == "profile" && ("." + inside + ".").find("..") != std::string::npos;
  if (entry.empty() || inside.empty() || gap) {
    faults.emplace_back(table.where("path"), fmt::format("\"{}\" is no path into a record; expected one like "
                                                         "event_props.Amount, session_props.… or profile.…",
                                                         text));
    return;
  }
  if (inside.find('/') != std::string::npos) {
    faults.emplace_back(table.where("path"),
                        fmt::format("\"{}\": a value whose name has a slash in it cannot be promoted", text));
    return;
  }
  if (root == "profile") std::replace(inside.begin(), inside.end(), '.', '/');
  std::vector<std::string> paths;
  for (const auto& above : profile.names(entry)) paths.push_back(above + "/" + inside);
  const auto taken = std::find_if(spec.columns.begin(), spec.columns.end(), [&](const Column& c) {
    return c.name == name || holds(paths, c.path) ||
           std::any_of(c.aliases.begin(), c.aliases.end(), [&](const auto& path) { return holds(paths, path); });
  });
  if (taken != spec.columns.end()) {
    faults.emplace_back(table.where(), fmt::format("\"{}\" ({}): the column {} has that name or path already", name,
                                                   text, taken->name));
    return;
  }
  Column column(name, *parse_type(table.text("type")), paths.front(), false, "promoted from " + text);
  column.aliases.assign(paths.begin() + 1, paths.end());
  spec.columns.push_back(std::move(column));
}

StreamSpec events(const Settings& settings, const ApiProfile& profile, Faults& faults) {
  auto spec = named("events", settings, "What people did, by event and day of the project's time zone");
  by_days(spec);
  // CleverTap gives events no id: a day of an event is replaced as a whole, and equal rows of it are kept.
  spec.mode = LoadMode::append;
  Columns columns(spec, profile);
  columns.make("event_name", Type::text);
  // What a window is replaced by, and partitioned, and compared with `event_counts`: `ts_local` is a text, as it came,
  // and the days of `ts` are those of UTC.
  columns.make("event_date", Type::date, "the project's day", profile.names("event.ts"));
  columns.make("ts", Type::timestamp, "when it happened", profile.names("event.ts"));
  columns.add("ts_local", Type::text, "event.ts", true, "the same in the project's time zone, as received");
  columns.add("object_id", Type::text, "event.object_id", false, "the device");
  columns.add("identity", Type::text, "event.identity", false, "the person, where known");
  columns.add("email", Type::text, "event.email");
  columns.add("phone", Type::text, "event.phone");
  columns.add("name", Type::text, "event.name");
  columns.add("platform", Type::text, "event.platform");
  if (settings.node())
    for (const auto& [name, table] : settings.named("promote")) promote(spec, name, table, profile, faults);
  columns.add_open("event_props", "event.props");
  columns.add_open("session_props", "event.session");
  columns.add("profile", Type::json, "event.profile", true, "the person as of now, not as of the event");
  return spec;
}

StreamSpec event_counts(const Settings& settings, const ApiProfile& profile) {
  auto spec = named("event_counts", settings, "How often each event happened, by day of the project's time zone");
  by_days(spec);
  spec.key = {"event_name", "event_date"};
  Columns columns(spec, profile);
  columns.make("event_name", Type::text);
  columns.make("event_date", Type::date, "the project's day");
  columns.make("count", Type::int64);
  return spec;
}

// The member `inner` of the items of the list `list`, by all their names.
std::vector<std::string> paths_in(const ApiProfile& profile, std::string_view list, std::string_view inner) {
  std::vector<std::string> paths;
  for (const auto& above : profile.names(list))
    for (const auto& name : profile.names(inner)) paths.push_back(above + "/" + name);
  return paths;
}

StreamSpec profiles(const Settings& settings, const ApiProfile& profile) {
  auto spec = named("profiles", settings, "The people who did one of the events, as of their last read");
  spec.cursor = Cursor::value;
  spec.key = {"person"};
  Columns columns(spec, profile);
  // See profile_finisher.
  const auto devices = paths_in(profile, "profile.devices", "device.object_id");
  auto person = devices;
  for (const auto* entry : {"profile.identity", "profile.object_id"})
    person.insert(person.end(), profile.names(entry).begin(), profile.names(entry).end());
  columns.make("person", Type::text, "the identity, or the device's id of somebody who is not known", person);
  columns.add("identity", Type::text, "profile.identity");
  columns.add("object_id", Type::text, "profile.object_id", false, "the (first) device");
  spec.columns.back().made_of = devices;
  columns.add("email", Type::text, "profile.email");
  columns.add("phone", Type::text, "profile.phone");
  columns.add("name", Type::text, "profile.name");
  columns.add_open("properties", "profile.properties");
  columns.add("events", Type::json, "profile.events", false, "how often and when first and last, by event");
  columns.add("devices", Type::json, "profile.devices");
  return spec;
}

StreamSpec campaigns(const Settings& settings, const ApiProfile& profile) {
  auto spec = named("campaigns", settings, "Campaigns by the day for which they are scheduled");
  spec.cursor = Cursor::value;
  spec.key = {"id"};
  Columns columns(spec, profile);
  columns.add("id", Type::int64, "campaign.id", true);
  columns.add("name", Type::text, "campaign.name");
  columns.add("status", Type::text, "campaign.status");
  columns.add("scheduled_on", Type::text, "campaign.scheduled_on", false, "in the project's time zone");
  return spec;
}

StreamSpec campaign_reports(const Settings& settings, const ApiProfile& profile) {
  auto spec = named("campaign_reports", settings, "What came of each completed campaign, until now");
  spec.cursor = Cursor::value;
  spec.key = {"campaign_id"};
  Columns columns(spec, profile);
  columns.make("campaign_id", Type::int64);
  columns.add("sent", Type::int64, "report.sent");
  columns.add("viewed", Type::int64, "report.viewed");
  columns.add("clicked", Type::int64, "report.clicked");
  columns.add("result", Type::json, "report.result", true, "all figures");
  return spec;
}

struct Usable {
  std::string_view option;
  std::vector<std::string_view> streams;
};

void check_options(const std::string& from, const Settings& settings, Faults& faults) {
  static const Usable usable[] = {{"names", {"events", "event_counts", "profiles"}},
                                  {"promote", {"events"}},
                                  {"include", {"events", "profiles"}},
                                  {"reconcile", {"events"}},
                                  {"history", {"profiles", "campaigns", "campaign_reports"}}};
  const auto given = settings.given();
  for (const auto& [option, streams] : usable)
    if (holds(given, option) && std::find(streams.begin(), streams.end(), from) == streams.end())
      faults.emplace_back(settings.where(option), fmt::format("\"{}\" is an option of {}, not of {}", option,
                                                              fmt::join(streams, " and "), from));
  for (const auto& word : settings.texts("include"))
    if (word != "app" && word != "profile" && word != "events")
      faults.emplace_back(settings.where("include"),
                          fmt::format("\"include\": found \"{}\", expected app, profile or events", word));
  auto names = settings.texts("names");
  if (names.empty() && settings.has("names"))
    faults.emplace_back(settings.where("names"), "\"names\" is empty: name some events, or leave it out");
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    faults.emplace_back(settings.where("names"), fmt::format("event \"{}\" stands twice in names", *twice));
}

}  // namespace

std::span<const Option> stream_options() {
  return settings_of_streams;
}

std::vector<StreamSpec> catalogue(const ApiProfile& profile) {
  Faults none;
  std::vector<StreamSpec> specs;
  for (const auto* name : {"events", "event_counts", "profiles", "campaigns", "campaign_reports"})
    specs.push_back(configure(name, Settings(), profile, none));
  return specs;
}

StreamSpec configure(const std::string& from, const Settings& settings, const ApiProfile& profile, Faults& faults) {
  if (settings.node()) check_options(from, settings, faults);
  if (from == "events") return events(settings, profile, faults);
  if (from == "event_counts") return event_counts(settings, profile);
  if (from == "profiles") return profiles(settings, profile);
  if (from == "campaigns") return campaigns(settings, profile);
  return campaign_reports(settings, profile);
}

StreamChoice::StreamChoice(const StreamSpec& stream) : history(default_history) {
  const auto& settings = stream.options;
  const bool people = stream.from == "profiles";
  app = events = profile = people;
  if (settings.node() != nullptr) {
    names = settings.texts("names");
    reconcile = settings.flag("reconcile");
    if (settings.has("history")) history = settings.duration("history");
    if (settings.has("include")) {
      const auto words = settings.texts("include");
      app = holds(words, "app");
      events = holds(words, "events");
      profile = holds(words, "profile");
    }
  }
  if (people && names.empty()) names.emplace_back("App Launched");
}

}  // namespace sluice::ct
