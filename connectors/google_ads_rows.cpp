#include "connectors/google_ads_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "connectors/google_ads_fields.hpp"
#include "connectors/google_ads_json.hpp"
#include "connectors/google_ads_streams.hpp"
#include "core/json_rows.hpp"
#include "core/read_json.hpp"

namespace sluice::google {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr const char* rows_member = "results";
// After so many answers that broke off midway, a window is asked for in halves.
constexpr int most_breaks = 2;

// For so long: what it was taken for may have been an outage.
constexpr Duration breaks_hold = 6h;

// The API was asked as often as `retry` allows, and did not begin to answer: the report may be too much for it.
bool may_be_too_much(const Error& error) {
  const auto* refused = dynamic_cast<const ApiError*>(&error);
  return refused != nullptr && refused->remedy() == Remedy::retry &&
         (refused->reason() == "server_error" || refused->reason() == "timeout");
}
constexpr std::size_t most_hints = 1000;
constexpr std::size_t most_changes = 10'000;  // Google: in one answer about changes

// Hands the rows of a streamed answer on as they arrive.
class StreamedRows final : public BodyReader {
 public:
  StreamedRows(RowReader& rows, GoogleApi& api, const std::string& customer, Output& out)
      : rows_(rows), api_(api), customer_(customer), out_(out), answer_(rows_member) {}

  void begin(const HttpResponse&) override { answer_ = JsonRowStream(rows_member); }
  task<void> piece(std::string_view bytes) override {
    answer_.feed(bytes);
    for (auto part = answer_.next(); part; part = answer_.next()) {
      if (part->kind == JsonRowStream::Part::Kind::element) {
        api_.check_part(part->text, customer_);
        continue;
      }
      auto batch = std::move(rows_.map(std::move(part->text)).batch);
      given_ = true;
      co_await out_.emit(std::move(batch));
    }
  }
  // Throws Error(retry) when the answer broke off.
  void finish() const { answer_.finish(); }
  bool given() const { return given_; }

 private:
  RowReader& rows_;
  GoogleApi& api_;
  const std::string& customer_;
  Output& out_;
  JsonRowStream answer_;
  bool given_ = false;
};

// Passes batches on, and keeps what the last row says of when.
class LastChange final : public Output {
 public:
  LastChange(Output& out, std::size_t column) : out_(out), column_(column) {}
  task<void> emit(Batch batch) override {
    count += batch.rows() + batch.rejects.size();
    if (batch.rows() > 0) {
      const auto& cell = std::as_const(batch).row(batch.rows() - 1)[column_];
      if (cell.kind == Kind::text) last = batch.text(cell);
    }
    return out_.emit(std::move(batch));
  }
  void without_columns(const std::vector<std::string>& names, const std::string& why) override {
    out_.without_columns(names, why);
  }
  void incident(const std::string& why) override { out_.incident(why); }
  Priority priority() const override { return out_.priority(); }
  task<void> away(task<void> waiting) override { return out_.away(std::move(waiting)); }

  std::size_t count = 0;
  std::string last;

 private:
  Output& out_;
  std::size_t column_;
};

// As the API writes times: in the customer's zone, without saying so.
std::string local_time(Instant when, const Zone& zone) {
  return cctz::format("%Y-%m-%d %H:%M:%S", std::chrono::floor<std::chrono::seconds>(when), zone);
}

Instant instant_of(const std::string& text) {
  const auto when = parse_instant(text);
  if (!when)
    throw Error(Remedy::give_up, fmt::format("the progress \"{}\" is not an instant like 2026-03-01T12:00:00Z", text));
  return *when;
}

}  // namespace

RowReader::RowReader(const StreamSpec& stream) : mapper_(stream) {
  const auto query = query_of(stream);
  // These come unasked.
  std::set<std::string> resources{query.from, "customer"};
  for (const auto& field : query.fields)
    for (auto dot = field.find('.'); dot != std::string::npos; dot = field.find('.', dot + 1))
      resources.insert(field.substr(0, dot));
  for (const auto& resource : resources) {
    if (!query.selects(resource + ".resource_name")) mapper_.ignore(json_path(resource) + "/resourceName");
  }
  for (const auto& field : query.fields)
    for (std::size_t i = 0; i < stream.columns.size(); ++i)
      if (is_zero_when_missing(field) && stream.columns[i].path == json_path(field) &&
          stream.columns[i].type.type != Type::text)  // masked: whether it is zero does not show
        zeros_.push_back(i);
}

MappedPage RowReader::map(std::string page, std::string_view member) {
  auto mapped = mapper_.map(std::move(page), member);
  mapped.batch = finish(std::move(mapped.batch));
  return mapped;
}

Batch RowReader::finish(Batch batch) const {
  for (std::size_t row = 0; row < batch.rows() && !zeros_.empty(); ++row)
    for (const auto column : zeros_)
      if (batch.row(row)[column].kind == Kind::absent) batch.row(row)[column] = Cell::of(std::int64_t{0});
  return batch;
}

Batch RowReader::map_saved(std::string reply) {
  // An answer of searchStream is an array of parts, which are rows to nobody else.
  const auto saved = read_json(reply);
  const auto* document = saved.is_array() && !saved.empty() ? &saved.front() : &saved;
  if (document->is_object() && document->contains("error"))
    throw Error(Remedy::give_up, fmt::format("the API refused: {}", (*document)["error"].dump()));
  const bool parts = saved.is_array() && std::all_of(saved.begin(), saved.end(), [](const json& part) {
                       return part.is_object() && (part.contains(rows_member) || part.contains("fieldMask"));
                     });
  if (!parts || saved.empty()) return finish(mapper_.map_saved(std::move(reply), rows_member));
  std::string rows;
  JsonRowStream answer(rows_member, reply.size() + 1);
  answer.feed(reply);
  for (auto part = answer.next(); part; part = answer.next())
    if (part->kind == JsonRowStream::Part::Kind::rows)
      rows += (rows.empty() ? "" : ",") + part->text.substr(1, part->text.size() - 2);
  return map("[" + rows + "]").batch;
}

// One slice on its way.
struct Reports::Job {
  const StreamSpec& stream;
  const Partition& partition;
  Output* out;
  Query query;
  RowReader rows;
  bool given = false;  // some of the rows of the query at hand were handed on

  Job(const StreamSpec& s, const Slice& slice, Output& o)
      : stream(s), partition(slice.partition()), out(&o), query(query_of(s)), rows(s) {}
  std::string name_of(const DayWindow& days) const {
    return fmt::format("{} {} {}", stream.name, partition.id, within(days));
  }
};

task<void> Reports::read(const StreamSpec& stream, const Slice& slice, Output& out) {
  Job job(stream, slice, out);
  if (const auto* days = slice.day_window()) {
    co_await read_days(job, *days, false);
  } else if (const auto* range = slice.value_range()) {
    co_await read_changes(job, *range);
  } else {
    auto query = job.query.text();
    co_await read_query(job, std::move(query));
  }
}

// What is known of the halves holds for as long as the whole is known to be too much.
bool Reports::is_broken(const std::string& window, bool half) {
  const auto at = broken_.find(window);
  if (at == broken_.end()) return false;
  if (half || api_.clock().uptime() - at->second.last <= breaks_hold) return at->second.count >= most_breaks;
  broken_.erase(at);
  return false;
}

void Reports::note_breaks(const std::string& window, int count) {
  if (broken_.size() > most_hints) broken_.clear();
  auto& breaks = broken_[window];
  breaks.count += count;
  breaks.last = api_.clock().uptime();
}

// `half`: of a window that has been too much.
task<void> Reports::read_days(Job& job, DayWindow days, bool half) {
  const auto name = job.name_of(days);
  if (const auto length = days.to - days.from; length > 1 && is_broken(name, half)) {
    const Day middle = days.from + length / 2;
    const DayWindow first{days.from, middle}, second{middle, days.to};
    try {
      co_await read_days(job, first, true);
      co_await read_days(job, second, true);
    } catch (const Error& error) {
      if (error.remedy() == Remedy::retry) note_breaks(name, 0);  // it is not over
      throw;
    }
    co_return;
  }
  auto query = job.query.text(within(days));
  job.given = false;
  try {
    co_await read_query(job, std::move(query));
    broken_.erase(name);
  } catch (const Error& error) {
    if (job.given && error.remedy() == Remedy::retry) note_breaks(name, 1);
    if (!job.given && may_be_too_much(error)) note_breaks(name, half ? most_breaks : 1);
    throw;
  }
}

task<void> Reports::read_query(Job& job, std::string query) {
  if (api_.by_pages()) {
    co_await read_pages(job, query);
    co_return;
  }
  StreamedRows reader(job.rows, api_, job.partition.id, *job.out);
  Caller caller(*job.out);
  try {
    co_await api_.stream(job.partition.id, std::move(query), caller, reader);
    reader.finish();
  } catch (const Error&) {
    job.given = reader.given();
    throw;
  }
}

task<void> Reports::read_pages(Job& job, const std::string& query) {
  PageGuard guard;
  for (std::string token;;) {
    Caller caller(*job.out);
    std::optional<HttpResponse> answer;
    try {
      answer = co_await api_.search(job.partition.id, query, token, caller);
    } catch (const ApiError& error) {
      if (error.reason() != reason::stale_page) throw;
      throw Error(Remedy::retry, fmt::format("{}; the slice is read again from its first page", error.what()));
    }
    auto page = job.rows.map(std::move(answer->body), rows_member);
    api_.check_part(page.envelope, job.partition.id);
    token = text_of(read_json(page.envelope), "nextPageToken");
    job.given = true;
    co_await job.out->emit(std::move(page.batch));
    if (token.empty()) co_return;
    guard.visit(token);
  }
}

// Google gives 10,000 changes at most: those that follow are asked for from the last one's time on. Rows that come
// twice are the same.
task<void> Reports::read_changes(Job& job, const ValueRange& range) {
  const auto& zone = job.partition.zone;
  const auto today = day_of(api_.now(), zone);
  const auto oldest = start_of(today - (kept_days(job.stream) - 1), zone);
  // An hour earlier: where clocks are set back, local times come twice.
  const auto after = range.after ? std::max(oldest, instant_of(*range.after) - Duration(1h)) : oldest;
  auto from = local_time(after, zone);
  const auto upto = local_time(instant_of(range.upto) + Duration(1h), zone);
  const auto at = std::find_if(job.stream.columns.begin(), job.stream.columns.end(),
                               [](const Column& column) { return column.name == "change_event_change_date_time"; });
  auto& out = *job.out;
  for (;;) {
    LastChange counted(out, static_cast<std::size_t>(at - job.stream.columns.begin()));
    job.out = &counted;
    auto query = job.query;
    query.order = "BY change_event.change_date_time ASC";
    query.limit = std::to_string(most_changes);
    auto text = query.text(
        fmt::format("change_event.change_date_time >= '{}' AND change_event.change_date_time <= '{}'", from, upto));
    co_await read_query(job, std::move(text));
    job.out = &out;
    if (counted.count < most_changes) co_return;
    if (counted.last == from)
      throw Error(Remedy::give_up, fmt::format("{}: more than {} changes happened at {}: the API cannot give them all",
                                               job.partition.id, most_changes, from));
    from = counted.last;
  }
}

}  // namespace sluice::google
