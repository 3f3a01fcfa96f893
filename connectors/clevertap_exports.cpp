#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/clevertap_reads.hpp"
#include "core/json_cell.hpp"

namespace sluice::ct {
namespace {

using nlohmann::json;

constexpr std::int64_t smallest_page = 23;
// Apps send what they gathered offline later.
constexpr int late_days = 3;

// What a cursor may be made of. It comes percent-encoded, and goes back byte for byte.
bool is_cursor(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || std::string_view("%_-.~+=/").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

}  // namespace

struct Exports::Ask {
  const char* family;
  std::string path, event;
  Day from, to;  // both inclusive
  StreamChoice choice;
};

std::string window_body(const ApiProfile& profile, const std::optional<std::string>& event, Day from, Day to) {
  json body = json::object();
  if (event) body[profile.at("parameter.event_name")] = *event;
  body[profile.at("parameter.from")] = day_number(from);
  body[profile.at("parameter.to")] = day_number(to);
  return dumped(body);
}

AskedDays asked_days(const CleverTapApi& api, const StreamSpec& stream, const Slice& slice, int days_again) {
  const auto* range = slice.value_range();
  const auto upto = range ? parse_instant(range->upto) : std::nullopt;
  const auto to = day_of(upto.value_or(api.clock().now()), api.zone());
  const auto after = range && range->after ? parse_instant(*range->after) : std::nullopt;
  const auto days = static_cast<int>(StreamChoice(stream).history / std::chrono::hours(24));
  return {after ? std::min(day_of(*after, api.zone()), to) - days_again : to - days, to};
}

std::optional<std::string> Exports::not_offered(const std::string& event) const {
  const auto known = not_offered_.find(event);
  return known == not_offered_.end() ? std::nullopt : std::optional(known->second);
}

// Asks for an export; gives the path of its first page.
task<std::string> Exports::begin(const Ask& ask, Output& out) {
  const auto& profile = api_.profile();
  const auto known = page_sizes_.find({ask.family, ask.event});
  const auto size = known == page_sizes_.end() ? api_.page_size() : known->second;
  // All of them are said: what CleverTap takes for granted has changed before.
  auto path = fmt::format("{}?{}={}&{}={}&{}={}&{}={}", ask.path, profile.at("parameter.batch_size"), size,
                          profile.at("parameter.app"), ask.choice.app, profile.at("parameter.events"),
                          ask.choice.events, profile.at("parameter.profile"), ask.choice.profile);
  auto body = window_body(profile, ask.event, ask.from, ask.to);
  const auto answer = co_await api_.ask(ask.family, path, std::move(body), &out);
  api_.require_success(answer, ask.path, dumped(answer));
  const auto& cursor = member(answer, profile, "key.cursor");
  if (!cursor.is_string() || !is_cursor(cursor.get_ref<const std::string&>()))
    api_.not_understood(profile.at("key.cursor"), ask.path, fmt::format("a cursor in \"{}\"", profile.at("key.cursor")),
                        cursor.is_null() ? "none" : shown(dumped(cursor)), dumped(answer));
  co_return fmt::format("{}?{}={}", ask.path, profile.at("parameter.cursor"), cursor.get_ref<const std::string&>());
}

task<HttpResponse> Exports::next(const Ask& ask, std::string path, Output& out) {
  try {
    co_return co_await api_.get(ask.family, std::move(path), &out);
  } catch (const ApiError& error) {
    if (error.reason() == reason::cursor_dead)
      throw Error(Remedy::retry,
                  fmt::format("the export's cursor is no longer valid; the slice starts again ({})", error.what()));
    if (error.remedy() != Remedy::shrink) throw;
    const auto known = page_sizes_.try_emplace({ask.family, ask.event}, api_.page_size()).first;
    if (known->second <= smallest_page) throw;
    known->second = std::max(smallest_page, known->second / 2);
    throw Error(Remedy::retry, fmt::format("a page is too large; the slice starts again with pages of {} records ({})",
                                           known->second, error.what()));
  }
}

// Hands on all records of an export; how many came.
task<std::int64_t> Exports::walk(const Ask& ask, RecordReader& reader, Output& out) {
  std::int64_t count = 0;
  PageGuard guard;
  auto path = co_await begin(ask, out);
  while (!path.empty()) {
    guard.visit(path);
    auto answer = co_await next(ask, path, out);
    auto page = reader.page(path, std::move(answer.body));
    count += static_cast<std::int64_t>(page.batch.rows() + page.batch.rejects.size());
    if (!page.next.empty() && !is_cursor(page.next))
      throw Error(Remedy::retry, ask.path + ": the next cursor holds characters that no cursor has");
    if (!page.batch.empty()) co_await out.emit(std::move(page.batch));
    path = page.next.empty() ? std::string()
                             : fmt::format("{}?{}={}", ask.path, api_.profile().at("parameter.cursor"), page.next);
  }
  co_return count;
}

// Remembers an event that CleverTap does not export.
task<std::int64_t> Exports::walk_if_offered(const Ask& ask, RecordReader& reader, Output& out) {
  try {
    co_return co_await walk(ask, reader, out);
  } catch (const ApiError& error) {
    if (error.reason() != reason::export_not_allowed) throw;
    not_offered_[ask.event] = error.what();
  }
  throw NotOffered(not_offered_[ask.event]);
}

// CleverTap's own count; nothing where it does not give one, and then why. Rows are not held up by that.
task<std::optional<std::int64_t>> Exports::counted(const Ask& ask, std::string& why_not, Output& out) {
  std::optional<std::int64_t> count;
  try {
    count = co_await count_events(api_, ask.event, ask.from, ask.to, out);
  } catch (const Error& error) {
    why_not = error.what();
  }
  co_return count;
}

task<void> Exports::read_events(const StreamSpec& stream, const Slice& slice, Output& out) {
  const auto& event = slice.partition().id;
  if (const auto why = not_offered(event)) throw NotOffered(*why);
  const auto* window = slice.day_window();
  if (window == nullptr) throw std::logic_error("events are read by days");
  const Ask ask{family::events,      api_.profile().at("path.events"), event, window->from, window->to - 1,
                StreamChoice(stream)};
  std::optional<std::int64_t> before, after;
  std::string why_not;
  if (ask.choice.reconcile) before = co_await counted(ask, why_not, out);
  RecordReader reader(api_, stream, "key.records", event_finisher(stream, api_.zone(), event));
  const auto received = co_await walk_if_offered(ask, reader, out);
  if (!ask.choice.reconcile) co_return;
  if (before) after = co_await counted(ask, why_not, out);
  // Events may have come in while they were read.
  if (!after)
    out.incident(fmt::format("{} records were exported, but not compared with CleverTap's count of them: {}", received,
                             why_not));
  else if (received < std::min(*before, *after) || received > std::max(*before, *after))
    out.incident(
        fmt::format("{} records were exported, but CleverTap counts {}{}; look at the event in its dashboard, "
                    "then load the day again",
                    received, *before, before == after ? "" : fmt::format(" to {}", *after)));
}

task<void> Exports::read_profiles(const StreamSpec& stream, const Slice& slice, Output& out) {
  const auto days = asked_days(api_, stream, slice, late_days);
  const StreamChoice choice(stream);
  RecordReader reader(api_, stream, "key.records", profile_finisher(stream, api_.profile()));
  for (const auto& event : choice.names) {
    const Ask ask{family::profiles, api_.profile().at("path.profiles"), event, days.from, days.to, choice};
    co_await walk(ask, reader, out);
  }
}

}  // namespace sluice::ct
