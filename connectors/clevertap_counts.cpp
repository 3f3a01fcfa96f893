#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/clevertap_reads.hpp"

namespace sluice::ct {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr Duration between_polls = 4s;
constexpr Duration longest_count = 15min;
constexpr Duration names_hold = 5min;

[[noreturn]] void missing(const CleverTapApi& api, const std::string& path, std::string_view entry,
                          const json& answer) {
  const auto& name = api.profile().at(entry);
  api.not_understood(name, path, fmt::format("\"{}\"", name), "none", dumped(answer));
}

// Nothing: the count that was being made is forgotten and has to be asked for anew.
task<std::optional<json>> poll(CleverTapApi& api, const std::string& path, Output& out) {
  co_await out.away(api.clock().sleep_for(between_polls));
  std::optional<json> answer;
  try {
    answer = co_await api.ask(family::counts, path, std::string(), &out);
  } catch (const ApiError& error) {
    if (error.reason() != reason::request_dead) throw;
  }
  co_return answer;
}

std::string id_text(const json& id) {
  return id.is_string() ? url_encode(id.get_ref<const std::string&>()) : id.dump();
}

}  // namespace

task<std::int64_t> count_events(CleverTapApi& api, const std::string& event, Day from, Day to, Output& out) {
  const auto& profile = api.profile();
  const auto& path = profile.at("path.event_counts");
  const auto began = api.clock().uptime();
  std::optional<json> answer;
  std::string request;
  while (api.clock().uptime() - began < longest_count) {
    if (request.empty()) {
      auto body = window_body(profile, event, from, to);
      answer = co_await api.ask(family::counts, path, std::move(body), &out);
    } else {
      const auto again = fmt::format("{}?{}={}", path, profile.at("parameter.request"), request);
      answer = co_await poll(api, again, out);
    }
    request.clear();
    if (!answer) continue;
    const bool partial = api.says_status(*answer, "word.partial");
    if (!partial) api.require_success(*answer, path, dumped(*answer));
    const auto* entry = partial ? "key.request" : "key.count";
    const auto& found = member(*answer, profile, entry);
    if (!found.is_number_integer() && !(partial && found.is_string())) missing(api, path, entry, *answer);
    if (!partial) co_return found.get<std::int64_t>();
    request = id_text(found);
  }
  throw Error(Remedy::retry,
              fmt::format("{}: the count was still not made after {}", path, format_duration(longest_count)));
}

task<void> read_event_counts(CleverTapApi& api, const StreamSpec& stream, const Slice& slice, Output& out) {
  const auto* window = slice.day_window();
  if (window == nullptr) throw std::logic_error("counts are read by days");
  const auto& event = slice.partition().id;
  const auto name = place_of(stream, "event_name"), date = place_of(stream, "event_date"),
             count = place_of(stream, "count");
  Batch batch(stream.columns.size());
  for (auto day = window->from; day < window->to; ++day) {
    const auto value = co_await count_events(api, event, day, day, out);
    const auto same_name = batch.add_text(event);
    auto row = batch.add_row();
    row[name] = same_name;
    row[date] = Cell::of(static_cast<std::int64_t>(day - Day(1970, 1, 1)));
    row[count] = Cell::of(value);
  }
  co_await out.emit(std::move(batch));
}

task<std::vector<std::string>> EventNames::all(bool afresh) {
  const auto now = api_.clock().uptime();
  if (!afresh && asked_ && now - *asked_ < names_hold) co_return known_;
  const auto& profile = api_.profile();
  const auto& path = profile.at("path.schema");
  const auto answer = co_await api_.ask(family::schema, path, std::string(), nullptr);
  api_.require_success(answer, path, dumped(answer));
  const auto& list = member(answer, profile, "key.events");
  if (!list.is_array()) missing(api_, path, "key.events", answer);
  std::vector<std::string> names;
  for (const auto& event : list) {
    const auto& name = event.is_string() ? event : member(event, profile, "schema.name");
    if (!name.is_string()) missing(api_, path, "schema.name", answer);
    if (std::find(names.begin(), names.end(), name.get_ref<const std::string&>()) == names.end())
      names.push_back(name.get<std::string>());
  }
  known_ = names;
  asked_ = now;
  co_return names;
}

}  // namespace sluice::ct
