#include "sandbox/graph.hpp"

#include <nlohmann/json.hpp>

#include "sandbox/errors.hpp"
#include "sandbox/insight_rows.hpp"
#include "sandbox/objects.hpp"
#include "sandbox/paging.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

std::string dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::optional<Kind> kind_of_edge(std::string_view edge) {
  if (edge == "campaigns") return Kind::campaign;
  if (edge == "adsets") return Kind::adset;
  if (edge == "ads") return Kind::ad;
  if (edge == "adcreatives") return Kind::creative;
  return std::nullopt;
}

GraphError unknown_path(const Call& call) {
  GraphError error;
  error.code = 2500;
  error.message = fmt::format("Unknown path components: /{}", fmt::join(call.path, "/"));
  return error;
}

std::optional<std::size_t> index_of_row(std::string_view plain) {
  const auto index = to_int(plain);
  return index && *index >= 0 ? std::optional(static_cast<std::size_t>(*index)) : std::nullopt;
}

// Meta: these may bring no rows and no error when asked for at once; as a report they do.
bool empty_at_once(const InsightsQuery& query) {
  return std::ranges::any_of(query.breakdowns, [](const std::string& name) {
    return name == "frequency_value" || name == "impression_device" ||
           name == "hourly_stats_aggregated_by_audience_time_zone";
  });
}

}  // namespace

std::string Graph::answer(const Call& call, Instant now, Concern& concern) {
  if (call.path.empty()) return many(call, now);
  const auto& node = call.path.front();
  if (call.method != "GET" && (call.path.size() != 2 || call.path[1] != "insights"))
    throw bad_parameter(fmt::format("Unsupported {} request", call.method == "POST" ? "post" : "delete"));
  if (node == "me") return me(call, now);
  if (node.starts_with("act_")) return account_node(call, now, concern);
  return numbered_node(call, now, concern);
}

std::string Graph::me(const Call& call, Instant now) {
  if (call.path.size() == 1) return R"({"name":"Sandbox System User","id":"122093847560100200"})";
  if (call.path.size() != 2 || call.path[1] != "adaccounts") throw unknown_path(call);
  refuse_large_page(call);
  const auto& accounts = world_.accounts();
  auto page = lay_out(call, accounts.size(), index_of_row);
  const auto fields = parse_fields(call.params.list("fields"));
  std::vector<std::string> rows;
  for (auto i = page.first; i < page.last; ++i) rows.push_back(dump(account_json(accounts[i], fields, now)));
  if (!rows.empty()) {
    page.before = row_cursor(page.first);
    page.after = row_cursor(page.last - 1);
  }
  return render(call, page, std::move(rows), std::nullopt);
}

std::string Graph::many(const Call& call, Instant now) {
  const auto ids = call.params.list("ids");
  if (ids.empty()) throw unknown_path(call);
  if (ids.size() > 50) throw bad_parameter(fmt::format("Too many IDs. Maximum: 50. Provided: {}.", ids.size()));
  const auto fields = parse_fields(call.params.list("fields"));
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const auto& id : ids) {
    const auto number = to_int(id.starts_with("act_") ? std::string_view(id).substr(4) : id);
    const auto* account = number ? world_.account(*number) : nullptr;
    const auto* object = number ? world_.object(*number) : nullptr;
    if (account != nullptr && id.starts_with("act_"))
      out[id] = account_json(*account, fields, now);
    else if (object != nullptr)
      out[id] = object_json(world_, *object, fields, now);
    else {
      GraphError error;
      error.code = 803;
      error.message = fmt::format("(#803) Some of the aliases you requested do not exist: {}", id);
      throw error;
    }
  }
  rows_served_ += static_cast<std::int64_t>(ids.size());
  return dump(out);
}

void Graph::permit(const Account& account, const Call& call) {
  const auto whose = faults_.argument("permission");
  if (!whose || to_int(*whose).value_or(world_.accounts().front().id) != account.id) return;
  if (faults_.strikes("permission", call.subject)) throw permission_missing();
}

const Account& Graph::require_account(std::string_view id, const Call& call, Concern& concern) {
  const auto number = to_int(id.substr(4));
  concern.account = number ? world_.account(*number) : nullptr;
  if (concern.account == nullptr) throw no_such_object(std::string(id));
  permit(*concern.account, call);
  return *concern.account;
}

std::string Graph::account_node(const Call& call, Instant now, Concern& concern) {
  concern.insights = call.path.size() == 2 && call.path[1] == "insights";
  const auto& account = require_account(call.path.front(), call, concern);
  if (call.path.size() == 1) return dump(account_json(account, parse_fields(call.params.list("fields")), now));
  if (call.path.size() != 2) throw unknown_path(call);
  if (concern.insights)
    return call.method == "POST" ? submit(call, account, nullptr, now) : insights_now(call, account, nullptr, now);
  const auto kind = kind_of_edge(call.path[1]);
  if (!kind) throw unknown_path(call);
  return objects(call, account, *kind, now);
}

std::string Graph::numbered_node(const Call& call, Instant now, Concern& concern) {
  const auto id = to_int(call.path.front());
  if (!id) throw unknown_path(call);
  if (auto* report = reports_.find(*id)) return report_node(call, *report, concern);
  const auto* object = world_.object(*id);
  if (object == nullptr) throw no_such_object(call.path.front());
  concern.account = &world_.account_of(*object);
  permit(*concern.account, call);
  if (call.path.size() == 1) return dump(object_json(world_, *object, parse_fields(call.params.list("fields")), now));
  if (call.path.size() != 2 || call.path[1] != "insights" || object->kind == Kind::creative) throw unknown_path(call);
  concern.insights = true;
  return call.method == "POST" ? submit(call, *concern.account, object, now)
                               : insights_now(call, *concern.account, object, now);
}

// Meta: an unfiltered call leaves out what is archived or deleted; the order says nothing.
std::string Graph::objects(const Call& call, const Account& account, Kind kind, Instant now) {
  refuse_large_page(call);
  const auto own = kind == Kind::creative ? std::nullopt : std::optional(kind);
  const auto filters = parse_filters(call.params, own);
  const bool all = kind == Kind::creative || filters_status(filters);
  std::vector<const Object*> listed;
  const auto& everything = account.of(kind);
  for (auto at = everything.rbegin(); at != everything.rend(); ++at) {
    const auto status = world_.effective_status(*at, now);
    const bool gone = status == "ARCHIVED" || status == "DELETED";
    if (at->created <= now && (all || !gone) && matches(world_, *at, filters, now)) listed.push_back(&*at);
  }
  auto page = lay_out(call, listed.size(), [&](std::string_view plain) -> std::optional<std::size_t> {
    const auto id = object_of_cursor(plain);
    const auto at = std::ranges::find_if(listed, [&](const Object* object) { return id == object->id; });
    if (at == listed.end()) return std::nullopt;
    return static_cast<std::size_t>(at - listed.begin());
  });
  const auto fields = parse_fields(call.params.list("fields"));
  std::vector<std::string> rows;
  for (auto i = page.first; i < page.last; ++i) rows.push_back(dump(object_json(world_, *listed[i], fields, now)));
  if (!rows.empty()) {
    page.before = object_cursor(*listed[page.first]);
    page.after = object_cursor(*listed[page.last - 1]);
  }
  const bool summary = call.params.get("summary") == "true";
  return render(call, page, std::move(rows), summary ? std::optional(listed.size()) : std::nullopt);
}

void Graph::refuse_large_page(const Call& call) {
  if (!faults_.armed("reduce_data")) return;
  const auto most = faults_.strikes("reduce_data", call.subject);
  if (most && (most->empty() || page_limit(call.params) > static_cast<std::size_t>(to_int(*most).value_or(0))))
    throw reduce_data();
}

void Graph::refuse_many_rows(const Call& call, const InsightsQuery& query, Instant now) {
  if (!faults_.armed("too_many_rows")) return;
  const auto limit = faults_.strikes("too_many_rows", call.subject);
  if (limit && exceeds(world_, query, *limit, now)) throw too_many_rows();
}

std::string Graph::submit(const Call& call, const Account& account, const Object* scope, Instant now) {
  auto query = parse_insights(call.params, account, scope, now);
  refuse_many_rows(call, query, now);
  const auto id = reports_.submit(std::move(query), now, call.subject).id;
  if (faults_.strikes("numeric_report_id", call.subject)) return fmt::format(R"({{"report_run_id":{}}})", id);
  return fmt::format(R"({{"report_run_id":"{}"}})", id);
}

std::string Graph::insights_now(const Call& call, const Account& account, const Object* scope, Instant now) {
  refuse_large_page(call);
  const auto query = parse_insights(call.params, account, scope, now);
  refuse_many_rows(call, query, now);
  if (empty_at_once(query)) return R"({"data":[]})";
  if (use_prepared_ && PreparedReports::fits(query) && !faults_.any_of_rows()) return prepared_page(call, query);
  return insight_page(call, query, make_rows(world_, query, now), now);
}

std::string Graph::report_node(const Call& call, Report& report, Concern& concern) {
  concern.account = &world_.accounts()[static_cast<std::size_t>(report.query.account)];
  concern.insights = true;
  permit(*concern.account, call);
  if (call.path.size() == 1) return dump(reports_.poll(report, call.subject));
  if (call.path.size() != 2 || call.path[1] != "insights" || call.method != "GET") throw unknown_path(call);
  reports_.require_results(report, call.subject);
  if (use_prepared_ && PreparedReports::fits(report.query) && !faults_.any_of_rows())
    return prepared_page(call, report.query);
  return insight_page(call, report.query, reports_.rows(report), report.as_of);
}

std::string Graph::insight_page(const Call& call, const InsightsQuery& query, const std::vector<InsightRow>& rows,
                                Instant as_of) {
  auto page = lay_out(call, rows.size(), index_of_row);
  const RowWriter writer(world_, query, as_of);
  std::vector<std::string> texts(page.last - page.first);
  for (auto i = page.first; i < page.last; ++i) writer.write(rows[i], texts[i - page.first]);
  if (!texts.empty()) {
    page.before = row_cursor(page.first);
    page.after = row_cursor(page.last - 1);
  }
  return render(call, page, std::move(texts), std::nullopt);
}

std::string Graph::prepared_page(const Call& call, const InsightsQuery& query) {
  auto page = lay_out(call, prepared_.size(query), index_of_row);
  std::string body = "{\"data\":[";
  prepared_.append(query, page.first, page.last, body);
  if (page.last > page.first) {
    body.back() = ']';
    page.before = row_cursor(page.first);
    page.after = row_cursor(page.last - 1);
  } else {
    body += ']';
  }
  rows_served_ += static_cast<std::int64_t>(page.last - page.first);
  body += paging(call, page);
  body += '}';
  return body;
}

}  // namespace sluice::sandbox
