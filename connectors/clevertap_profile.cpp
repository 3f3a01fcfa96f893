#include "connectors/clevertap_profile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace sluice::ct {
namespace {

struct Entry {
  std::string_view name, names;
};

constexpr Entry built_in[] = {
    {"host.region", "https://{region}.api.clevertap.com"},
    {"host.global", "https://api.clevertap.com"},
    {"header.account", "X-CleverTap-Account-Id"},
    {"header.passcode", "X-CleverTap-Passcode"},

    {"path.events", "/1/events.json"},
    {"path.profiles", "/1/profiles.json"},
    {"path.event_counts", "/1/counts/events.json"},
    {"path.campaigns", "/1/targets/list.json"},
    {"path.campaign_report", "/1/targets/result.json"},
    {"path.schema", "/getSchema?type=events"},

    // How they are asked: POST with a JSON object, or GET with its members in the query.
    {"method.events", "POST"},
    {"method.profiles", "POST"},
    {"method.event_counts", "POST"},
    {"method.campaigns", "POST"},
    {"method.campaign_report", "POST"},

    {"parameter.batch_size", "batch_size"},
    {"parameter.app", "app"},
    {"parameter.events", "events"},
    {"parameter.profile", "profile"},
    {"parameter.cursor", "cursor"},
    {"parameter.request", "req_id"},
    {"parameter.event_name", "event_name"},
    {"parameter.from", "from"},
    {"parameter.to", "to"},
    {"parameter.campaign", "id"},

    // Members of answers.
    {"key.status", "status"},
    {"key.error", "error"},
    {"key.code", "code"},
    {"key.cursor", "cursor"},
    {"key.next_cursor", "next_cursor"},
    {"key.previous_cursor", "previous_cursor"},
    {"key.records", "records"},
    {"key.count", "count"},
    {"key.request", "req_id"},
    {"key.campaigns", "targets"},
    {"key.result", "result"},
    {"key.events", "events"},

    // Members of an event, of a profile, of a campaign, of a report and of the schema.
    {"event.ts", "ts"},
    {"event.props", "event_props"},
    {"event.session", "session_props"},
    {"event.profile", "profile"},
    {"event.object_id", "profile/objectId"},
    {"event.identity", "profile/identity"},
    {"event.email", "profile/email"},
    {"event.phone", "profile/phone"},
    {"event.name", "profile/name"},
    {"event.platform", "profile/platform"},
    {"profile.identity", "identity"},
    {"profile.object_id", "objectId"},
    {"profile.email", "email"},
    {"profile.phone", "phone"},
    {"profile.name", "name"},
    {"profile.properties", "profileData"},
    {"profile.events", "events"},
    {"profile.devices", "platformInfo"},
    {"device.object_id", "objectId"},
    {"campaign.id", "id"},
    {"campaign.name", "name"},
    {"campaign.status", "status"},
    {"campaign.scheduled_on", "scheduled_on"},
    {"report.sent", "result/sent"},
    {"report.viewed", "result/viewed"},
    {"report.clicked", "result/clicked"},
    {"report.result", "result"},
    {"schema.name", "name"},

    // Values of the status, and what errors say.
    {"word.success", "success"},
    {"word.partial", "partial"},
    {"word.fail", "fail"},
    {"says.in_progress", "still in progress"},
    {"says.export_not_allowed", "export not allowed"},
    {"says.cursor_dead", "invalid cursor | cursor_invalidated | incorrect usage"},
    {"says.request_dead", "invalid request id"},
    {"says.no_result", "hasn't been completed | has no result"},
    {"says.unknown_event", "invalid event"},
    {"says.throttled", "too many concurrent requests"},
    {"says.bad_credentials", "account id is not valid | invalid credentials"},
    {"code.in_progress", "2"},
};

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> names;
  for (;;) {
    const auto bar = text.find('|');
    auto name = text.substr(0, bar);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty()) names.emplace_back(name);
    if (bar == std::string_view::npos) return names;
    text.remove_prefix(bar + 1);
  }
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

ApiProfile::ApiProfile(const Settings& api_profile) : version_(api_profile.text("version")) {
  std::vector<std::string> known;
  for (const auto& [name, names] : built_in) {
    entries_.emplace(name, split(names));
    known.emplace_back(name);
  }
  const auto refuse = [](const std::string& why) { throw Error(Remedy::give_up, "\"api_profile\": " + why); };
  for (const auto& [name, text] : api_profile.text_map("entries")) {
    const auto entry = entries_.find(name);
    if (entry == entries_.end()) {
      const auto near = nearest_name(name, known);
      refuse(fmt::format("unknown entry \"{}\"{}", name, near ? "; did you mean \"" + *near + "\"?" : ""));
    }
    entry->second = split(text);
    if (entry->second.empty()) refuse(fmt::format("the entry \"{}\" is empty", name));
    const auto& said = entry->second.front();
    if (name.starts_with("method.") && said != "GET" && said != "POST")
      refuse(fmt::format("\"{}\" is {}; expected GET or POST", name, said));
  }
}

const std::vector<std::string>& ApiProfile::names(std::string_view entry) const {
  const auto found = entries_.find(entry);
  if (found == entries_.end()) throw std::logic_error("the API's profile has no entry " + std::string(entry));
  return found->second;
}

bool ApiProfile::says(std::string_view entry, std::string_view text) const {
  const auto same = [](char a, char b) { return lower(a) == lower(b); };
  return std::any_of(names(entry).begin(), names(entry).end(), [&](const std::string& words) {
    return std::search(text.begin(), text.end(), words.begin(), words.end(), same) != text.end();
  });
}

bool ApiProfile::knows_member(std::string_view name) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) {
    const auto& [key, names] = entry;
    return key.starts_with("key.") && std::find(names.begin(), names.end(), name) != names.end();
  });
}

}  // namespace sluice::ct
