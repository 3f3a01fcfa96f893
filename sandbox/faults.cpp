#include "sandbox/faults.hpp"

#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

constexpr FaultKind kKinds[] = {
    {"throttle", "400, 17/2446079; arg: minutes until access is regained (1)"},
    {"buc_throttle", "400, 80000 on insights and 80004 elsewhere, subcode 2446079; arg: minutes (1)"},
    {"app_throttle", "403, code 4, application request limit reached"},
    {"usage", "usage headers say that much; arg: percent (90)"},
    {"string_usage", "usage headers hold numbers as strings and lack keys"},
    {"http500", "500, code 2, service temporarily unavailable"},
    {"http503", "503 with a plain text body"},
    {"unavailable_text", "200 with the text \"Service Unavailable\""},
    {"unknown_error", "500, code 1, an unknown error occurred"},
    {"reduce_data", "500, code 1, reduce the amount of data; arg: only where limit is above it"},
    {"too_many_rows", "100/1487534; arg: days:N or rows:N, only above it"},
    {"report_fails", "the report submitted ends as Job Failed; arg: code/subcode (-2/2490547)"},
    {"report_too_large", "the report ends as Job Failed -3/1504045; arg: days:N or rows:N, only above it"},
    {"poison_field", "reports with that field end as Job Failed -2/2490547; arg: the field (actions)"},
    {"report_stalls", "the report submitted never ends; arg: percent at which it stays (0)"},
    {"report_skipped", "the report submitted ends as Job Skipped"},
    {"hundred_running", "a poll says 100 % and Job Running"},
    {"numeric_report_id", "report_run_id comes as a bare number"},
    {"not_exists_after_submit", "100/33 for the first polls of each report; arg: how many (1)"},
    {"results_not_ready", "2601/1815107 for the first result calls of each report; arg: how many (1)"},
    {"summary_param", "100, cannot include … in summary param, on the results of a report"},
    {"expired_token", "190/463, session has expired"},
    {"invalid_token", "190/460, the password was changed"},
    {"expired_version", "2635"},
    {"permission", "403, code 200, for one account; arg: its number (the first)"},
    {"version_warning", "header x-ad-api-version-warning"},
    {"upgraded_version", "facebook-api-version differs from the one asked for; arg: version (v27.0)"},
    {"html", "200 with an HTML page"},
    {"garbage", "200 with bytes that are not JSON"},
    {"empty", "200 with an empty body"},
    {"truncated", "the connection closes in the middle of the body"},
    {"reset", "the connection is reset without an answer"},
    {"hang", "no answer at all"},
    {"slow", "the body comes in ten pieces; arg: seconds in all (5)"},
    {"redirect", "302 to another host; arg: the address"},
    {"quota_short", "Google: 429, the customer's quota is used up; arg: seconds (30)"},
    {"quota_day", "Google: 429, the project's quota of the day is used up; arg: seconds (40591)"},
    {"customer_denied", "Google: 403 for one customer; arg: its number (all)"},
    {"oauth_revoked", "Google: the token endpoint answers invalid_grant"},
    {"stream_error", "Google: searchStream ends with an error behind its rows"},
    {"stream_open", "Google: searchStream's closing bracket is missing"},
    {"stale_page", "Google: the page token has expired"},
    {"batch_null", "the first answer within a batch is null"},
    {"duplicate_cursor", "paging.cursors.after repeats the one asked for; arg aba: the one before it"},
    {"short_pages", "pages hold half of what was asked for, and one is empty with a next"},
    {"duplicate_rows", "the first row of a page comes twice; arg differ: with another content"},
    {"bad_utf8", "a name holds bytes that are not UTF-8"},
    {"nul", "a name holds \\u0000"},
    {"bad_row", "the first row of a page has text where a number or time belongs"},
    {"missing_id", "the first row of a page lacks its id"},
    {"missing_breakdown", "the first row of a page lacks a breakdown; arg: which (country)"},
    {"new_field", "every row has a member nobody asked for; arg: its name (brand_new_metric)"},
    {"too_many_requests", "CleverTap: 429, too many concurrent requests"},
    {"fail_code", "CleverTap: 200 with status fail; arg: the code (500)"},
    {"in_progress", "CleverTap: a page is still being made"},
    {"cursor_expired", "CleverTap: a page's cursor is no longer valid"},
    {"export_not_allowed", "CleverTap: the event may not be exported"},
    {"renamed_member", "CleverTap: a member of the answers has another name; arg: old=new (records=data)"},
    {"new_property", "CleverTap: events have a property that they did not have"},
    {"retyped_property", "CleverTap: the property Amount becomes a text"},
    {"slow_count", "CleverTap: a count has to be polled for; arg: how often (1)"},
    {"wrong_count", "CleverTap: a count is one more than there are events"},
    {"no_result", "CleverTap: a campaign has no report; arg: 500 or success for the other shapes of that"},
};

constexpr std::string_view kRowFaults[] = {"duplicate_rows", "bad_utf8",          "nul",      "bad_row",
                                           "missing_id",     "missing_breakdown", "new_field"};

// Where the member's key begins, or npos.
std::size_t find_member(const std::string& row, std::string_view name) {
  for (const auto* before : {"{", ","}) {
    const auto at = row.find(fmt::format("{}\"{}\":", before, name));
    if (at != std::string::npos) return at + 1;
  }
  return std::string::npos;
}

// Only for members that hold a string without escapes.
bool remove_member(std::string& row, std::string_view name) {
  auto begin = find_member(row, name);
  if (begin == std::string::npos) return false;
  auto end = row.find('"', begin + name.size() + 4) + 1;
  if (row[end] == ',')
    ++end;
  else if (row[begin - 1] == ',')
    --begin;
  row.erase(begin, end - begin);
  return true;
}

bool replace_member(std::string& row, std::string_view name, std::string_view value) {
  const auto begin = find_member(row, name);
  if (begin == std::string::npos) return false;
  const auto first = begin + name.size() + 4;
  row.replace(first, row.find('"', first) - first, value);
  return true;
}

void into_a_name(std::string& row, std::string_view bytes) {
  const auto at = row.find("name\":\"");
  if (at != std::string::npos)
    row.insert(at + 7, bytes);
  else
    row.insert(row.size() - 1, fmt::format(",\"note\":\"{}\"", bytes));
}

void repeat_first(std::vector<std::string>& rows, bool differ) {
  std::string copy = rows.front();
  if (differ && !replace_member(copy, "impressions", "424242")) replace_member(copy, "name", "another content");
  rows.push_back(std::move(copy));
}

}  // namespace

std::span<const FaultKind> fault_kinds() {
  return kKinds;
}

Fault parse_fault(std::string_view text) {
  Fault fault;
  const auto cut = [&](char mark) {
    const auto at = text.rfind(mark);
    if (at == std::string_view::npos) return std::string();
    std::string tail(text.substr(at + 1));
    text = text.substr(0, at);
    return tail;
  };
  const auto number = [&](const std::string& digits, int otherwise) {
    if (digits.empty()) return otherwise;
    const auto value = to_int(digits);
    if (!value || *value < 1) throw std::invalid_argument(fmt::format("\"{}\" is not a count", digits));
    return static_cast<int>(*value);
  };
  fault.times = number(cut('#'), -1);
  fault.every = number(cut('%'), 1);
  fault.path = cut('@');
  const auto equals = text.find('=');
  fault.name = text.substr(0, equals);
  if (equals != std::string_view::npos) fault.arg = text.substr(equals + 1);
  return fault;
}

void Faults::add(Fault fault) {
  const auto known = std::ranges::any_of(kKinds, [&](const FaultKind& kind) { return kind.name == fault.name; });
  if (!known) throw std::invalid_argument(fmt::format("no fault is called \"{}\"", fault.name));
  faults_.push_back(std::move(fault));
}

void Faults::remove(std::string_view name) {
  std::erase_if(faults_, [&](const Fault& fault) { return name.empty() || fault.name == name; });
}

std::optional<std::string> Faults::strikes(std::string_view name, std::string_view subject) {
  for (auto& fault : faults_) {
    if (fault.name != name || fault.times == 0 || subject.find(fault.path) == std::string_view::npos) continue;
    if (++fault.seen % fault.every != 0) continue;
    if (fault.times > 0) --fault.times;
    ++struck_[fault.name];
    return fault.arg;
  }
  return std::nullopt;
}

std::optional<std::string> Faults::argument(std::string_view name) const {
  for (const auto& fault : faults_)
    if (fault.name == name && fault.times != 0) return fault.arg;
  return std::nullopt;
}

bool Faults::any_of_rows() const {
  return std::ranges::any_of(kRowFaults, [this](std::string_view name) { return armed(name); });
}

void tamper(Faults& faults, std::string_view subject, std::vector<std::string>& rows) {
  if (rows.empty() || !faults.any_of_rows()) return;
  auto& first = rows.front();
  if (faults.strikes("bad_utf8", subject)) into_a_name(first, "\xff\xfe\xc3");
  if (faults.strikes("nul", subject)) into_a_name(first, "\\u0000");
  if (faults.strikes("bad_row", subject)) {
    for (const auto* name : {"impressions", "spend", "clicks", "updated_time", "created_time"})
      if (replace_member(first, name, "not-a-number")) break;
  }
  if (faults.strikes("missing_id", subject)) {
    for (const auto* name : {"ad_id", "adset_id", "campaign_id", "account_id", "id"})
      if (remove_member(first, name)) break;
  }
  if (const auto which = faults.strikes("missing_breakdown", subject))
    remove_member(first, which->empty() ? "country" : *which);
  if (const auto name = faults.strikes("new_field", subject)) {
    for (auto& row : rows)
      row.insert(1, fmt::format("\"{}\":\"7\"{}", name->empty() ? "brand_new_metric" : *name, row == "{}" ? "" : ","));
  }
  if (const auto how = faults.strikes("duplicate_rows", subject)) repeat_first(rows, *how == "differ");
}

}  // namespace sluice::sandbox
