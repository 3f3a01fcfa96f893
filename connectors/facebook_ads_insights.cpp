#include "connectors/facebook_ads_insights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/facebook_ads_fields.hpp"
#include "connectors/facebook_ads_merge.hpp"
#include "connectors/facebook_ads_objects.hpp"

namespace sluice::facebook {
namespace {

using nlohmann::json;

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

// The column by which parts have to add up to what they are parts of. Rows of breakdowns need not.
std::optional<std::size_t> find_impressions(const StreamSpec& stream, const InsightsQuery& query) {
  for (std::size_t i = 0; i < stream.columns.size() && query.breakdowns.empty(); ++i)
    if (stream.columns[i].name == "impressions" && stream.columns[i].type.type == Type::int64) return i;
  return {};
}

std::int64_t sum_of(const Batch& batch, std::size_t column) {
  std::int64_t sum = 0;
  for (std::size_t row = 0; row < batch.rows(); ++row) sum += batch.row(row)[column].integer;
  return sum;
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
  std::optional<std::size_t> impressions_at;
  std::map<std::string, std::string> missing;  // fields that cannot be had → why
  std::optional<Error> failure;                // of the newest report
  std::size_t fields_read = 0;                 // while it is read by fields
  // Of the rows handed on.
  std::int64_t impressions = 0;
  std::size_t rejects = 0;

  Job(const StreamSpec& s, const Slice& slice, Output& o)
      : stream(s),
        out(o),
        query(insights_query(s)),
        account(slice.partition().id),
        mapper(s),
        key(key_places(s)),
        impressions_at(find_impressions(s, query)) {}
  Caller caller() const { return Caller(account, out); }
  std::string name_of(const ReportAsk& ask) const {
    return fmt::format("{} {} {} {} {}", stream.name, account, ask.describe(), ask.ids.empty() ? "" : ask.ids.front(),
                       ask.fields.size());
  }
  bool is_key(const std::string& field) const {
    return std::find(stream.key.begin(), stream.key.end(), field) != stream.key.end();
  }
  std::string why() const { return failure ? failure->what() : "it is too large"; }

  // Meta leaves them out of old rows and does not say so. What was loaded while it had them has to stay.
  void do_without_people() {
    const std::string why = "with breakdowns, Meta keeps 13 months of what counts people";
    std::vector<std::string> gone;
    for (const auto& field : query.fields)
      if (counts_people(field)) gone.push_back(field);
    for (const auto& field : gone) missing[field] = why;
    if (!gone.empty()) out.without_columns(gone, why);
  }
  void count(const Batch& batch) {
    rejects += batch.rejects.size();
    if (impressions_at) impressions += sum_of(batch, *impressions_at);
  }
};

// What is below an object: all that could have rows.
struct InsightsReader::Children {
  std::vector<std::string> ids;
  std::int64_t impressions = 0;
};

task<void> InsightsReader::read(const StreamSpec& stream, const Slice& slice, Output& out) {
  const auto* window = slice.day_window();
  if (window == nullptr) throw std::logic_error("insights are read by days");
  Job job(stream, slice, out);
  const auto today = day_of(api_.clock().now(), slice.partition().zone);
  if (!job.query.breakdowns.empty() && window->from < first_kept(today, kept_months_in_parts)) job.do_without_people();
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
  for (int reading = 1;; ++reading) {
    const auto report = co_await reports_.complete(job.query, ask, job.caller(), job.failure);
    if (!report) co_return false;
    bool handed_on = false;
    try {
      EdgeWalk walk(api_, job.mapper, *report + "/insights", Headers(), job.caller());
      for (auto page = co_await walk.next(); page; page = co_await walk.next()) {
        if (page->batch.empty() && page->batch.unknown_fields.empty()) continue;
        handed_on = true;
        co_await hand_on(job, std::move(page->batch));
      }
      co_return true;
    } catch (const Error& error) {
      job.failure = error;
    }
    const auto remedy = job.failure->remedy();
    if (remedy == Remedy::shrink && !handed_on) co_return false;
    if (remedy == Remedy::shrink) {
      if (too_large_.size() >= most_hints) too_large_.clear();
      too_large_.insert(job.name_of(ask));
      throw Error(Remedy::retry, fmt::format("{}; the window will be read again in parts", job.why()));
    }
    // Meta: a complete report may turn out to be unreadable; a new one is not.
    if (remedy != Remedy::retry || handed_on || reading == most_readings) throw Error(*job.failure);
  }
}

task<void> InsightsReader::hand_on(Job& job, Batch batch) {
  job.count(batch);
  co_await job.out.emit(std::move(batch));
}

// Only objects at or above the level of the rows can be told apart by a filter without changing the rows.
task<void> InsightsReader::split(Job& job, ReportAsk ask) {
  if (ask.since != ask.until)
    co_await split_by_days(job, std::move(ask));
  else if (ask.ids.size() > 1)
    co_await split_by_ids(job, std::move(ask));
  else if (deeper(job.query.level, ask.above))
    co_await split_by_children(job, std::move(ask));
  else
    co_await split_by_fields(job, std::move(ask));
}

task<void> InsightsReader::split_by_days(Job& job, ReportAsk ask) {
  const auto half = (ask.until - ask.since) / 2;
  auto second = ask;
  second.since = ask.since + half + 1;
  ask.until = ask.since + half;
  co_await read_part(job, std::move(ask));
  co_await read_part(job, std::move(second));
}

task<void> InsightsReader::split_by_ids(Job& job, ReportAsk ask) {
  for (auto& ids : parts_of(ask.ids)) {
    auto part = ask;
    part.ids = std::move(ids);
    co_await read_part(job, std::move(part));
  }
}

task<void> InsightsReader::split_by_children(Job& job, ReportAsk ask) {
  auto children = co_await children_of(job, ask);
  if (!children || children->ids.empty()) {
    co_await split_by_fields(job, std::move(ask));
    co_return;
  }
  const auto whole = ask.describe();
  const auto impressions = job.impressions;
  const auto rejects = job.rejects;
  ask.above = below(ask.above);
  ask.ids = std::move(children->ids);
  co_await split(job, std::move(ask));
  const auto read = job.impressions - impressions;
  const bool known = job.impressions_at && job.rejects == rejects && !job.missing.contains("impressions");
  // Meta: a report may hold fewer rows than there are. Publishing it would delete those that are left out.
  if (known && read < children->impressions)
    throw Error(Remedy::retry,
                fmt::format("act_{}: the rows of {} have {} impressions in all where their totals have {}: rows are "
                            "missing from a report",
                            job.account, whole, read, children->impressions));
}

// Nothing when it cannot be told. Meta's edges may leave out what was deleted, though it has rows; and what has no
// impressions may have other figures.
task<std::optional<InsightsReader::Children>> InsightsReader::children_of(Job& job, const ReportAsk& ask) {
  InsightsQuery totals;
  totals.level = below(ask.above);
  const auto id = id_field(totals.level);
  auto look = ask;
  look.fields = {id, "impressions"};
  const std::vector<Column> columns{Column(id, Type::text, "", true), Column("impressions", Type::int64)};
  RowMapper mapper(columns, {id});
  const auto rows = co_await rows_of(job, totals, look, mapper);
  std::optional<Children> children;
  if (!rows) co_return children;
  if (!rows->rejects.empty())
    throw Error(Remedy::retry, fmt::format("act_{}: a row of the totals of {} cannot be read: {}", job.account,
                                           ask.describe(), rows->rejects.front().reason));
  const auto listed = co_await list_ids(api_, totals.level, ask.above, ask.ids, job.caller());
  std::set<std::string> ids(listed.begin(), listed.end());
  for (std::size_t row = 0; row < rows->rows(); ++row) ids.emplace(rows->text(rows->row(row)[0]));
  children.emplace();
  children->ids.assign(ids.begin(), ids.end());
  children->impressions = sum_of(*rows, 1);
  co_return children;
}

task<void> InsightsReader::split_by_fields(Job& job, ReportAsk ask) {
  job.fields_read = 0;
  const auto known_missing = job.missing;
  auto rows = co_await gather(job, ask, true);
  if (job.fields_read == 0) {
    job.missing = known_missing;
    const auto what =
        fmt::format("the report of {} cannot be made, not even field by field: {}", ask.describe(), job.why());
    const bool passing = job.failure && job.failure->remedy() == Remedy::retry;
    if (ask.ids.empty() || ask.above != job.query.level) throw Error(passing ? Remedy::retry : Remedy::give_up, what);
    rows.rejects.push_back(unreadable(job, ask, what));
  }
  for (const auto& [field, why] : job.missing)
    if (!known_missing.contains(field))
      job.out.without_columns({field}, fmt::format("{} cannot be had for {}: {}", field, ask.describe(), why));
  if (!rows.empty()) co_await hand_on(job, std::move(rows));
}

// The one object of the ask, for the quarantine: the rest of its day is loaded, and what the table has of it stays.
Reject InsightsReader::unreadable(const Job& job, const ReportAsk& ask, const std::string& why) {
  const auto day = format_day(ask.since);
  const auto id = id_field(ask.above);
  const auto row = guarded(job.stream, {{"account_id", job.account}, {"date_start", day}, {id, ask.ids.front()}});
  Reject reject;
  // With breakdowns it has rows whose keys are not known.
  if (job.query.breakdowns.empty()) reject.key = json({row.at("account_id"), row.at("date_start"), row.at(id)}).dump();
  reject.reason = why;
  reject.rule = unread_rule;
  reject.raw = row.dump();
  return reject;
}

// The ask's rows, its fields asked for together or, where that fails, in halves.
task<Batch> InsightsReader::gather(Job& job, ReportAsk ask, bool just_failed) {
  std::vector<std::string> keys, values;
  for (const auto& field : ask.fields) (job.is_key(field) ? keys : values).push_back(field);
  if (!just_failed || values.size() < 2) {
    auto rows = co_await rows_of(job, job.query, ask, job.mapper);
    if (rows) {
      job.fields_read += values.size();
      co_return std::move(*rows);
    }
  }
  if (values.size() < 2) {
    for (const auto& field : values) job.missing[field] = job.why();
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
task<std::optional<Batch>> InsightsReader::rows_of(Job& job, const InsightsQuery& query, const ReportAsk& ask,
                                                   RowMapper& mapper) {
  std::optional<Batch> rows;
  const auto report = co_await reports_.complete(query, ask, job.caller(), job.failure);
  if (!report) co_return rows;
  try {
    EdgeWalk walk(api_, mapper, *report + "/insights", Headers(), job.caller());
    for (auto page = co_await walk.next(); page; page = co_await walk.next()) {
      if (!rows) rows.emplace(page->batch.width());
      append_rows(*rows, page->batch);
    }
  } catch (const Error& error) {
    if (error.remedy() != Remedy::shrink) throw;
    job.failure = error;
    rows.reset();
  }
  co_return rows;
}

}  // namespace sluice::facebook
