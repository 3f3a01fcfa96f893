#include "connectors/facebook_ads_streams.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "connectors/facebook_ads_fields.hpp"

namespace sluice::facebook {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view level_choices[] = {"account", "campaign", "adset", "ad"};

constexpr Option settings_of_streams[] = {
    {.name = "level",
     .value = Value::choice,
     .help = "insights: one row per day and account, campaign, ad set or ad.",
     .fallback = "ad",
     .choices = level_choices},
    {.name = "fields",
     .value = Value::text_list,
     .help =
         "Fields of the API to load; left out: the default columns. A field that is newer than sluice is given with "
         "its type: new_metric:decimal."},
    {.name = "breakdowns",
     .value = Value::text_list,
     .help = "insights: splits the rows by age, gender, country, publisher_platform, …; each is part of the key."},
    {.name = "action_breakdowns",
     .value = Value::text_list,
     .help = "insights: splits the entries of actions; left out: by action_type, as the API does by itself."},
    {.name = "action_attribution_windows",
     .value = Value::text_list,
     .help = "insights: which conversions count, like 7d_click, 1d_view; left out: as each ad set is set up."},
};

constexpr std::string_view default_insights[] = {"account_currency",   "impressions", "reach",     "clicks",
                                                 "inline_link_clicks", "spend",       "objective", "actions",
                                                 "action_values"};

struct ObjectStream {
  std::string_view name;
  std::span<const Field> fields;
  std::string_view last_default;
  std::string_view comment;
};

std::vector<ObjectStream> object_streams() {
  return {
      {"accounts", account_fields(), "created_time", "Ad accounts; amounts are in the currency's minor unit"},
      {"campaigns", campaign_fields(), "updated_time",
       "Campaigns, archived and deleted ones included; budgets are in the currency's minor unit"},
      {"adsets", adset_fields(), "updated_time",
       "Ad sets, archived and deleted ones included; budgets are in the currency's minor unit"},
      {"ads", ad_fields(), "updated_time", "Ads, archived and deleted ones included"},
      {"creatives", creative_fields(), "product_set_id", "The creatives that ads use; read again when an ad changes"},
  };
}

const ObjectStream* find_object_stream(const std::vector<ObjectStream>& all, std::string_view name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const ObjectStream& s) { return s.name == name; });
  return found == all.end() ? nullptr : &*found;
}

bool holds(std::span<const std::string> list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

bool holds(std::span<const std::string_view> list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

void comment(StreamSpec& spec) {
  for (auto& column : spec.columns) column.comment = field_comment(column.name);
}

std::vector<std::string> given(const Settings& settings, std::string_view option) {
  return settings.has(option) ? settings.texts(option) : std::vector<std::string>();
}

// "new_metric:decimal" → its name and, where it is given, its type.
std::pair<std::string, std::optional<DataType>> split_typed(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) return {text, {}};
  return {text.substr(0, colon), parse_type(text.substr(colon + 1))};
}

// Reads the names of one option, checks them against the API's, and says what is wrong with them.
class Names {
 public:
  Names(const Settings& settings, std::string_view option, Faults& faults)
      : settings_(settings), option_(option), faults_(faults), texts_(given(settings, option)) {}

  void fault(const std::string& message) { faults_.emplace_back(settings_.where(option_), message); }

  // The names without their types; twice the same is a fault.
  std::vector<std::string> read(const std::vector<std::string>& known, std::string_view what) {
    std::vector<std::string> names;
    if (texts_.empty() && settings_.has(option_) && option_ == "fields")
      fault("\"fields\" is empty: name some, or leave it out for the usual ones");
    for (const auto& text : texts_) {
      const auto [name, type] = split_typed(text);
      if (holds(names, name)) fault(fmt::format("{} \"{}\" stands twice in {}", what, name, option_));
      if (text.find(':') != std::string::npos && !type)
        fault(fmt::format("{} \"{}\": \"{}\" is no type; expected one like {}:decimal", what, name,
                          text.substr(name.size() + 1), name));
      if (text == name && !holds(known, name)) unknown(name, known, what);
      names.push_back(name);
    }
    return names;
  }

 private:
  void unknown(const std::string& name, const std::vector<std::string>& known, std::string_view what) {
    auto message = fmt::format("unknown {} \"{}\"", what, name);
    if (const auto near = nearest_name(name, known)) message += fmt::format("; did you mean \"{}\"?", *near);
    if (what != "attribution window")
      message += fmt::format(" (a {} that is newer than sluice is given with its type: \"{}:text\")", what, name);
    fault(message);
  }

  const Settings& settings_;
  std::string_view option_;
  Faults& faults_;
  std::vector<std::string> texts_;
};

std::vector<std::string> names_of(std::span<const Field> fields) {
  std::vector<std::string> names;
  for (const auto& field : fields) names.emplace_back(field.name);
  return names;
}

std::vector<std::string> strings(std::span<const std::string_view> views) {
  return {views.begin(), views.end()};
}

DataType type_of(std::span<const Field> fields, const std::string& name, const Settings& settings) {
  for (const auto& text : given(settings, "fields"))
    if (const auto [typed, type] = split_typed(text); typed == name && type) return *type;
  for (const auto& field : fields)
    if (field.name == name) return field.type;
  return Type::text;
}

// What stands in front of the metrics at each level: ids and names of the object and of those above it.
std::vector<std::string> object_columns(Level level) {
  std::vector<std::string> columns;
  for (const auto above : {Level::campaign, Level::adset, Level::ad}) {
    if (static_cast<int>(above) > static_cast<int>(level)) continue;
    columns.push_back(id_field(above));
    columns.push_back(std::string(to_string(above)) + "_name");
  }
  return columns;
}

InsightsQuery query_of(const Settings& settings) {
  InsightsQuery query;
  if (settings.has("level")) query.level = parse_level(settings.text("level"));
  for (const auto& text : given(settings, "breakdowns")) query.breakdowns.push_back(split_typed(text).first);
  for (const auto& text : given(settings, "action_breakdowns"))
    query.action_breakdowns.push_back(split_typed(text).first);
  query.attribution_windows = given(settings, "action_attribution_windows");

  std::vector<std::string> wanted{"account_id"};
  if (query.level != Level::account) wanted.push_back(id_field(query.level));
  if (const auto fields = given(settings, "fields"); !fields.empty()) {
    for (const auto& text : fields) wanted.push_back(split_typed(text).first);
  } else {
    const auto object = object_columns(query.level);
    wanted.insert(wanted.end(), object.begin(), object.end());
    for (const auto name : default_insights) {
      if (name == "objective" && query.level == Level::account) continue;
      if (query.hourly() && counts_people(name)) continue;
      wanted.emplace_back(name);
    }
  }
  for (auto& name : wanted) {
    // Meta refuses a field that is a breakdown, and gives both days without being asked.
    if (name == "date_start" || name == "date_stop" || holds(query.breakdowns, name) || holds(query.fields, name))
      continue;
    query.fields.push_back(std::move(name));
  }
  return query;
}

void check_breakdowns(const InsightsQuery& query, Names& names) {
  if (holds(query.breakdowns, "dma")) names.fault("the breakdown \"dma\" ended on 2026-06-22; use \"comscore_market\"");
  if (holds(query.breakdowns, "impression_device") && !holds(query.breakdowns, "publisher_platform"))
    names.fault("the breakdown \"impression_device\" cannot stand alone; add \"publisher_platform\"");
}

void check_insights(const Settings& settings, const InsightsQuery& query, Faults& faults) {
  Names breakdown_names(settings, "breakdowns", faults);
  auto known_breakdowns = strings(breakdowns());
  known_breakdowns.push_back("dma");
  breakdown_names.read(known_breakdowns, "breakdown");
  check_breakdowns(query, breakdown_names);
  Names action_names(settings, "action_breakdowns", faults);
  if (!action_names.read(strings(action_breakdowns()), "action breakdown").empty() && !holds(query.fields, "actions"))
    action_names.fault("action_breakdowns split the entries of \"actions\": add it to fields");

  Names window_names(settings, "action_attribution_windows", faults);
  auto known_windows = strings(attribution_windows());
  known_windows.insert(known_windows.end(), {"7d_view", "28d_view"});
  for (const auto& window : window_names.read(known_windows, "attribution window"))
    if (window == "7d_view" || window == "28d_view")
      window_names.fault(
          fmt::format("the attribution window \"{}\" gives nothing since 2026-01-12; use 1d_view", window));

  Names field_names(settings, "fields", faults);
  auto known_fields = names_of(insight_fields());
  known_fields.insert(known_fields.end(), breakdowns().begin(), breakdowns().end());
  for (const auto& field : field_names.read(known_fields, "field")) {
    if (holds(breakdowns(), field) && !holds(query.breakdowns, field))
      field_names.fault(fmt::format("\"{}\" is a breakdown, not a field: put it into breakdowns", field));
    if (field == "objective_results")
      field_names.fault("\"objective_results\" comes back as \"results\": ask for that");
    if (query.hourly() && (counts_people(field) || field.starts_with("video_")))
      field_names.fault(fmt::format("\"{}\" is not given by the hour: leave it out", field));
  }
}

StreamSpec insights_spec(const Settings& settings, Faults& faults) {
  const auto query = query_of(settings);
  check_insights(settings, query, faults);
  StreamSpec spec;
  spec.name = spec.from = "insights";
  spec.comment =
      fmt::format("Daily performance by {}, in the ad account's time zone and currency", to_string(query.level));
  spec.cursor = Cursor::date;
  spec.partition_column = "account_id";
  spec.cursor_column = "date_start";
  spec.lookback = 28 * 24h;  // Meta: figures change for 28 days
  spec.slice_days = 1;
  spec.options = settings;
  spec.key = {"account_id", "date_start"};
  spec.columns.emplace_back("account_id", Type::text, "", true);
  spec.columns.emplace_back("date_start", Type::date, "", true);
  if (query.level != Level::account) {
    spec.key.push_back(id_field(query.level));
    spec.columns.emplace_back(id_field(query.level), Type::text, "", true);
  }
  for (const auto& name : query.breakdowns) {
    spec.key.push_back(name);
    spec.columns.emplace_back(name, Type::text, is_asset_breakdown(name) ? name + "/id" : name);
  }
  spec.columns.emplace_back("date_stop", Type::date);
  for (const auto& name : query.fields)
    if (!holds(spec.key, name)) spec.columns.emplace_back(name, type_of(insight_fields(), name, settings));
  comment(spec);
  return spec;
}

std::vector<std::string> object_names(const ObjectStream& stream, const Settings& settings) {
  std::vector<std::string> names{stream.name == "accounts" ? "account_id" : "id"};
  if (stream.name != "accounts") names.emplace_back("account_id");
  const auto add = [&](std::string name) {
    if (!holds(names, name)) names.push_back(std::move(name));
  };
  const auto chosen = given(settings, "fields");
  for (const auto& text : chosen) add(split_typed(text).first);
  for (const auto& field : stream.fields) {
    if (!chosen.empty()) break;
    add(std::string(field.name));
    if (field.name == stream.last_default) break;
  }
  if (stream.last_default == "updated_time") add("updated_time");
  return names;
}

StreamSpec objects(const ObjectStream& stream, const Settings& settings, Faults& faults) {
  for (const auto* option : {"level", "breakdowns", "action_breakdowns", "action_attribution_windows"}) {
    const auto written = settings.node() ? settings.given() : std::vector<std::string>();
    if (holds(written, option))
      faults.emplace_back(settings.where(option),
                          fmt::format("\"{}\" is an option of insights, not of {}", option, stream.name));
  }
  Names(settings, "fields", faults).read(names_of(stream.fields), "field");
  StreamSpec spec;
  spec.name = spec.from = stream.name;
  spec.comment = stream.comment;
  spec.options = settings;
  const bool accounts = stream.name == "accounts";
  const bool creatives = stream.name == "creatives";
  spec.key = {accounts ? "account_id" : "id"};
  spec.cursor = accounts ? Cursor::none : Cursor::value;
  // Meta: an object's change may show a little later; reading goes no further than this behind now.
  if (!accounts) spec.settle = 10min;
  if (!accounts) spec.partition_column = "account_id";
  if (stream.last_default == "updated_time") spec.cursor_column = "updated_time";
  for (const auto& name : object_names(stream, settings)) {
    auto path = name == "creative_id" ? "creative/id" : name;
    if (creatives && name != "account_id") path = "creative/" + name;
    const bool key = name == spec.key.front() || name == "account_id";
    // Ads without a creative are no rows of `creatives`.
    spec.columns.emplace_back(name, type_of(stream.fields, name, settings), path, key && !creatives);
  }
  comment(spec);
  return spec;
}

}  // namespace

std::span<const Option> stream_options() {
  return settings_of_streams;
}

std::string id_field(Level level) {
  return std::string(to_string(level)) + "_id";
}

std::vector<StreamSpec> catalogue() {
  std::vector<StreamSpec> specs;
  Faults none;
  for (const auto& stream : object_streams()) specs.push_back(objects(stream, Settings(), none));
  specs.push_back(insights_spec(Settings(), none));
  return specs;
}

StreamSpec configure(const std::string& from, const Settings& settings, Faults& faults) {
  const auto all = object_streams();
  if (const auto* stream = find_object_stream(all, from)) return objects(*stream, settings, faults);
  return insights_spec(settings, faults);
}

bool InsightsQuery::hourly() const {
  return std::any_of(breakdowns.begin(), breakdowns.end(),
                     [](const auto& name) { return name.starts_with("hourly_"); });
}

Day first_kept(Day today, int months) {
  const auto month = cctz::civil_month(today) - months;
  const auto last = Day(month + 1) - 1;
  // A day that the month does not have is its last one: 37 months before 2023-03-31 is 2020-02-29.
  return std::min(Day(month) + (today.day() - 1), last) + 1;
}

InsightsQuery insights_query(const StreamSpec& stream) {
  return query_of(stream.options);
}

std::string object_fields(const StreamSpec& stream) {
  const auto all = object_streams();
  const auto* known = find_object_stream(all, stream.from);
  std::string fields, inner;
  const auto add = [](std::string& list, std::string_view name) { list.append(list.empty() ? "" : ",").append(name); };
  for (const auto& name : object_names(known ? *known : all.front(), stream.options)) {
    if (stream.from == "creatives" && name != "account_id")
      add(inner, name);
    else
      add(fields, name == "creative_id" ? "creative{id}" : name);
  }
  if (!inner.empty()) add(fields, "creative{" + inner + "}");
  return fields;
}

}  // namespace sluice::facebook
