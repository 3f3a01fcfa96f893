// How tests steer the sandbox while it runs: /sandbox/fault, /sandbox/clock, /sandbox/objects, /sandbox/log.
#include <nlohmann/json.hpp>

#include "sandbox/sandbox.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

using Json = nlohmann::json;

Reply answer(int status, const Json& json) {
  Reply reply;
  reply.status = status;
  reply.headers.emplace_back("content-type", "application/json");
  reply.body = json.dump();
  return reply;
}

Reply done() {
  return answer(200, Json{{"success", true}});
}

Reply refuse(const std::string& why) {
  return answer(400, Json{{"error", why}});
}

std::string text_of(const Json& json, const char* name) {
  const auto at = json.find(name);
  if (at == json.end()) return {};
  return at->is_string() ? at->get<std::string>() : at->dump();
}

}  // namespace

Reply Sandbox::control(const Request& request, std::string_view path, std::string_view query) {
  if (path == "/sandbox/fault") return change_faults(request, query);
  if (path == "/sandbox/clock" && request.method == "POST") return change_clock(request);
  if (path == "/sandbox/objects" && request.method == "POST") return change_object(request);
  if (path == "/sandbox/log" && request.method == "DELETE") {
    counters_ = {};
    faults_.forget_struck();
    graph_.forget_rows_served();
    clevertap_.forget_rows_served();
    google_.forget();
    return done();
  }
  if (path == "/sandbox/log" && request.method == "GET") {
    auto reply = done();
    reply.body = log_text();
    return reply;
  }
  return answer(404, Json{{"error", "there are /sandbox/fault, /sandbox/clock, /sandbox/objects and /sandbox/log"}});
}

Reply Sandbox::change_faults(const Request& request, std::string_view query) {
  if (request.method == "DELETE") {
    Params params;
    params.add_form(query);
    faults_.remove(params.get("name"));
    return done();
  }
  const auto json = Json::parse(request.body, nullptr, false);
  if (request.method != "POST" || !json.is_object())
    return refuse("a fault is POSTed as {\"name\", \"arg\", \"path\", \"times\", \"every\"}");
  Fault fault;
  fault.name = text_of(json, "name");
  fault.arg = text_of(json, "arg");
  fault.path = text_of(json, "path");
  if (json.contains("times")) fault.times = static_cast<int>(to_int(text_of(json, "times")).value_or(-1));
  if (json.contains("every")) fault.every = std::max(1, static_cast<int>(to_int(text_of(json, "every")).value_or(1)));
  try {
    faults_.add(std::move(fault));
  } catch (const std::invalid_argument& unknown) {
    return refuse(unknown.what());
  }
  return done();
}

// {"now": "2026-03-02T12:00:00Z"} stops time there; {"advance": "1d"} stops it that much later; {} lets it run.
Reply Sandbox::change_clock(const Request& request) {
  const auto json = Json::parse(request.body, nullptr, false);
  if (!json.is_object()) return refuse("the clock takes {\"now\": …}, {\"advance\": …} or {}");
  if (json.contains("now")) {
    const auto when = parse_instant(text_of(json, "now"));
    if (!when) return refuse("now is not a time");
    fixed_now_ = *when;
  } else if (json.contains("advance")) {
    const auto by = parse_duration(text_of(json, "advance"));
    if (!by) return refuse("advance is not a duration");
    fixed_now_ = now() + *by;
  } else {
    fixed_now_.reset();
  }
  return answer(200, Json{{"now", format_instant(now())}});
}

Reply Sandbox::change_object(const Request& request) {
  const auto json = Json::parse(request.body, nullptr, false);
  if (!json.is_object())
    return refuse("an object takes {\"id\": …, \"status\": \"PAUSED\", \"ARCHIVED\" or \"DELETED\"}");
  const auto id = to_int(text_of(json, "id"));
  if (!id || !world_.end(*id, text_of(json, "status"), now())) return refuse("no such object or status");
  return done();
}

std::string Sandbox::log_text() const {
  Json out;
  out["requests"] = Json::array();
  for (const auto& [what, count] : counters_.requests)
    out["requests"].push_back({{"method", what.first}, {"path", what.second}, {"count", count}});
  out["statuses"] = Json::object();
  for (const auto& [status, count] : counters_.statuses) out["statuses"][std::to_string(status)] = count;
  out["faults"] = faults_.struck();
  out["total"] = counters_.total;
  out["batch_calls"] = counters_.batch_calls;
  out["token_in_query"] = counters_.token_in_query;
  out["body_bytes"] = counters_.body_bytes;
  out["rows"] = graph_.rows_served() + clevertap_.rows_served() + google_.rows_served();
  out["google_operations"] = google_.operations();
  out["reports"] = reports_.submitted();
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sluice::sandbox
