#include <fmt/format.h>

#include <algorithm>

#include "connectors/facebook_ads_merge.hpp"
#include "connectors/facebook_ads_objects.hpp"
#include "connectors/facebook_ads_reports.hpp"

namespace sluice::facebook {
namespace {

constexpr std::size_t most_ids = 1000;  // in one filter
constexpr std::size_t most_hints = 1000;
constexpr int most_readings = 3;  // of a report that is complete and cannot be read

// The two halves of a list; more parts where halves would be too long for one filter.
std::vector<std::vector<std::string>> parts_of(const std::vector<std::string>& ids) {
  const auto count = std::max<std::size_t>(2, (ids.size() + most_ids - 1) / most_ids);
  std::vector<std::vector<std::string>> parts;
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = [&](std::size_t part) {
      return ids.begin() + static_cast<std::ptrdiff_t>(ids.size() * part / count);
    };
    parts.emplace_back(at(i), at(i + 1));
  }
  return parts;
}

bool deeper(Level a, Level b) {
  return static_cast<int>(a) > static_cast<int>(b);
}
Level below(Level level) {
  return static_cast<Level>(static_cast<int>(level) + 1);
}

}  // namespace

// One slice on its way.
struct InsightsReader::Job {
  const StreamSpec& stream;
  Output& out;
  InsightsQuery query;
  std::string account;
  RowMapper mapper;
  KeyPlaces key;
  bool handed_on = false;                      // rows of the report at hand have been emitted
  std::map<std::string, std::string> missing;  // fields that cannot be had → why
  std::string last_failure;
  std::size_t fields_read = 0;  // while it is read by fields

  Job(const StreamSpec& s, const Slice& slice, Output& o)
      : stream(s),
        out(o),
        query(insights_query(s)),
        account(slice.partition().id),
        mapper(s.columns, s.key, s.new_fields),
        key(key_places(s)) {}
  Caller caller() const { return Caller(account, out.priority()); }
  std::string name_of(const ReportAsk& ask) const {
    return fmt::format("{} {} {} {} {}", stream.name, account, ask.describe(), ask.ids.empty() ? "" : ask.ids.front(),
                       ask.fields.size());
  }
  bool is_key(const std::string& field) const {
    return std::find(stream.key.begin(), stream.key.end(), field) != stream.key.end();
  }
};

task<void> InsightsReader::read(const StreamSpec& stream, const Slice& slice, Output& out) {
  const auto* window = slice.day_window();
  if (window == nullptr) throw std::logic_error("insights are read by days");
  Job job(stream, slice, out);
  ReportAsk ask(window->from, window->to - 1, job.query.fields);
  co_await read_part(job, std::move(ask));
}

task<void> InsightsReader::read_part(Job& job, ReportAsk ask) {
  // The slice does without these now; asking each of its parts for them again would only fail again.
  std::erase_if(ask.fields, [&](const std::string& field) { return job.missing.contains(field); });
  const auto name = job.name_of(ask);
  bool delivered = false;
  if (!too_large_.contains(name)) delivered = co_await deliver(job, ask);
  if (!delivered) co_await split(job, std::move(ask));
}

// False when the report is too large.
task<bool> InsightsReader::deliver(Job& job, const ReportAsk& ask) {
  job.handed_on = false;
  std::exception_ptr failure;
  for (int reading = 0; reading < most_readings; ++reading) {
    Remedy remedy{};
    try {
      co_return co_await deliver_once(job, ask);
    } catch (const Error& error) {
      failure = std::current_exception();
      remedy = error.remedy();
      job.last_failure = error.what();
    }
    if (remedy == Remedy::shrink && !job.handed_on) co_return false;
    if (remedy == Remedy::shrink) {
      if (too_large_.size() >= most_hints) too_large_.clear();
      too_large_.insert(job.name_of(ask));
      throw Error(Remedy::retry, fmt::format("{}; the window will be read again in parts", job.last_failure));
    }
    // Meta: a complete report may turn out to be unreadable; a new one is not.
    if (remedy != Remedy::retry || job.handed_on) break;
  }
  std::rethrow_exception(failure);
}

task<bool> InsightsReader::deliver_once(Job& job, const ReportAsk& ask) {
  const auto report = co_await reports_.complete(job.query, ask, job.caller());
  EdgeWalk walk(api_, job.mapper, report + "/insights", Headers(), job.caller());
  for (auto page = co_await walk.next(); page; page = co_await walk.next()) {
    if (page->batch.empty() && page->batch.unknown_fields.empty()) continue;
    job.handed_on = true;
    co_await job.out.emit(std::move(page->batch));
  }
  co_return true;
}

task<void> InsightsReader::split(Job& job, ReportAsk ask) {
  if (ask.since != ask.until) {
    const auto half = (ask.until - ask.since) / 2;
    auto second = ask;
    second.since = ask.since + half + 1;
    ask.until = ask.since + half;
    co_await read_part(job, std::move(ask));
    co_await read_part(job, std::move(second));
    co_return;
  }
  if (job.query.level == Level::account || (ask.ids.size() == 1 && ask.above == job.query.level))
    co_await split_by_fields(job, std::move(ask));
  else
    co_await split_by_ids(job, std::move(ask));
}

// Only objects at or above the level of the rows can be told apart by a filter without changing the rows.
task<void> InsightsReader::split_by_ids(Job& job, ReportAsk ask) {
  while (ask.ids.size() < 2 && deeper(job.query.level, ask.above)) {
    const auto parent = ask.above;
    auto ids = co_await list_ids(api_, below(parent), parent, ask.ids, job.caller());
    ask.above = below(parent);
    ask.ids = std::move(ids);
    if (ask.ids.empty()) co_return;  // nothing is there that could have rows
  }
  if (ask.ids.size() < 2) {
    co_await split_by_fields(job, std::move(ask));
    co_return;
  }
  for (auto& ids : parts_of(ask.ids)) {
    auto part = ask;
    part.ids = std::move(ids);
    co_await read_part(job, std::move(part));
  }
}

task<void> InsightsReader::split_by_fields(Job& job, ReportAsk ask) {
  job.fields_read = 0;
  const auto known_missing = job.missing;
  auto rows = co_await gather(job, ask, true);
  if (job.fields_read == 0)
    throw Error(Remedy::give_up, fmt::format("the report of {} cannot be made, not even field by field: {}",
                                             ask.describe(), job.last_failure));
  for (const auto& [field, why] : job.missing)
    if (!known_missing.contains(field))
      job.out.without_columns({field}, fmt::format("{} cannot be had for {}: {}", field, ask.describe(), why));
  if (!rows.empty()) co_await job.out.emit(std::move(rows));
}

// The ask's rows, its fields asked for together or, where that fails, in halves.
task<Batch> InsightsReader::gather(Job& job, ReportAsk ask, bool just_failed) {
  std::vector<std::string> keys, values;
  for (const auto& field : ask.fields) (job.is_key(field) ? keys : values).push_back(field);
  if (!just_failed || values.size() < 2) {
    auto rows = co_await gather_whole(job, ask);
    if (rows) {
      job.fields_read += values.size();
      co_return std::move(*rows);
    }
  }
  if (values.size() < 2) {
    for (const auto& field : values) job.missing[field] = job.last_failure;
    co_return Batch(job.stream.columns.size());
  }
  const auto half = static_cast<std::ptrdiff_t>(values.size() / 2);
  auto first = ask, second = ask;
  first.fields = second.fields = keys;
  first.fields.insert(first.fields.end(), values.begin(), values.begin() + half);
  second.fields.insert(second.fields.end(), values.begin() + half, values.end());
  const auto a = co_await gather(job, std::move(first), false);
  const auto b = co_await gather(job, std::move(second), false);
  co_return merge_by_key(a, b, job.key);
}

// Nothing when the report is too large.
task<std::optional<Batch>> InsightsReader::gather_whole(Job& job, const ReportAsk& ask) {
  std::optional<Batch> rows;
  try {
    const auto report = co_await reports_.complete(job.query, ask, job.caller());
    EdgeWalk walk(api_, job.mapper, report + "/insights", Headers(), job.caller());
    rows.emplace(job.stream.columns.size());
    for (auto page = co_await walk.next(); page; page = co_await walk.next()) append_rows(*rows, page->batch);
  } catch (const Error& error) {
    if (error.remedy() != Remedy::shrink) throw;
    job.last_failure = error.what();
    rows.reset();
  }
  co_return rows;
}

}  // namespace sluice::facebook
