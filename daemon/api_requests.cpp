#include "daemon/api_requests.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "daemon/backfill.hpp"

namespace sluice {
namespace {

std::string text_field(const Json& body, const char* name, const char* expected, bool required) {
  const auto at = body.find(name);
  if (at == body.end()) {
    if (required) throw Refusal(422, fmt::format("{}: missing, expected {}", name, expected));
    return {};
  }
  if (!at->is_string()) throw Refusal(422, fmt::format("{}: expected {}", name, expected));
  return at->get<std::string>();
}

Day day_field(const Json& body, const char* name) {
  const auto day = parse_day(text_field(body, name, "a day like \"2026-03-01\"", true));
  if (!day) throw Refusal(422, fmt::format("{}: expected a day like \"2026-03-01\"", name));
  return *day;
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

}  // namespace

void expect_no_fields(const std::string& action, const std::string& text) {
  if (is_blank(text)) return;
  const auto body = Json::parse(text, nullptr, false);
  if (!body.is_object()) throw Refusal(422, fmt::format("expected no body, or {{}}: {} takes no fields", action));
  if (!body.empty())
    throw Refusal(422, fmt::format("{}: unknown; {} takes no fields", body.items().begin().key(), action));
}

std::string parse_cancel(const std::string& text) {
  if (is_blank(text)) return {};
  const auto body = Json::parse(text, nullptr, false);
  if (!body.is_object()) throw Refusal(422, R"(expected no body, or one like {"run": "20260302T120000Z-7f3a"})");
  for (const auto& [name, value] : body.items())
    if (name != "run") throw Refusal(422, fmt::format("{}: unknown; cancel takes run", name));
  return text_field(body, "run", "the id of a backfill's run", false);
}

BackfillRequest parse_backfill(const std::string& text) {
  const auto body = Json::parse(text, nullptr, false);
  if (!body.is_object())
    throw Refusal(422, R"(expected a JSON object like {"from": "2026-01-01", "to": "2026-01-31"})");
  for (const auto& [name, value] : body.items())
    if (name != "from" && name != "to" && name != "name" && name != "stream" && name != "parallel")
      throw Refusal(422, fmt::format("{}: unknown; known are from, to, name, stream, parallel", name));
  BackfillRequest request;
  request.from = day_field(body, "from");
  request.to = day_field(body, "to");
  if (request.to < request.from) throw Refusal(422, "to: lies before from");
  request.lane = backfill_lane(text_field(body, "name", "a text", false), request.from, request.to);
  request.stream = text_field(body, "stream", "a stream's name", false);
  if (const auto at = body.find("parallel"); at != body.end()) {
    if (!at->is_number_integer() || *at < 1 || *at > 64) throw Refusal(422, "parallel: expected a number from 1 to 64");
    request.parallel = at->get<int>();
  }
  return request;
}

}  // namespace sluice
