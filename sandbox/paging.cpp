#include "sandbox/paging.hpp"

#include "sandbox/errors.hpp"
#include "sandbox/text.hpp"

namespace sluice::sandbox {
namespace {

// Ends the cursor that an empty page hands out, so that the next one is not empty again.
constexpr char kSecondTry = '~';

GraphError invalid_cursor() {
  GraphError error;
  error.code = 2642;
  error.message = "(#2642) Invalid cursors values";
  return error;
}

std::string join_path(const Call& call) {
  return fmt::format("/{}/{}", call.version, fmt::join(call.path, "/"));
}

}  // namespace

std::string row_cursor(std::size_t index) {
  return encode_cursor(std::to_string(index));
}

std::string object_cursor(const Object& object) {
  return encode_cursor(fmt::format("AQH{:08x}:{}", static_cast<std::uint32_t>(object.hash), object.id));
}

std::optional<std::int64_t> object_of_cursor(std::string_view plain) {
  const auto colon = plain.find(':');
  if (!plain.starts_with("AQH") || colon == std::string_view::npos) return std::nullopt;
  return to_int(plain.substr(colon + 1));
}

Graph::Page Graph::lay_out(const Call& call, std::size_t total,
                           const std::function<std::optional<std::size_t>(std::string_view)>& find) {
  Page page;
  auto limit = page_limit(call.params);
  const auto after = call.params.get("after");
  bool second_try = false;
  if (!after.empty()) {
    auto plain = decode_cursor(after);
    if (!plain || plain->empty()) throw invalid_cursor();
    second_try = plain->back() == kSecondTry;
    if (second_try) plain->pop_back();
    const auto at = find(*plain);
    if (!at) throw invalid_cursor();
    page.first = std::min(*at + 1, total);
    if (!second_try && faults_.armed("short_pages")) page.again = encode_cursor(*plain + kSecondTry);
  }
  if (faults_.strikes("short_pages", call.subject))
    limit = std::max<std::size_t>(1, limit / 2);
  else
    page.again.clear();
  page.last = page.again.empty() ? std::min(page.first + limit, total) : page.first;
  page.more = page.last < total;
  return page;
}

std::string Graph::paging(const Call& call, const Page& page) {
  auto after = page.again.empty() ? page.after : page.again;
  auto more = page.more;
  const auto asked = call.params.get("after");
  const auto path = join_path(call);
  if (const auto how = faults_.strikes("duplicate_cursor", call.subject)) {
    const auto& repeated = *how == "aba" ? last_after_[path] : asked;
    if (!repeated.empty()) after = repeated;
    more = more || !repeated.empty();
  }
  last_after_[path] = asked;
  if (after.empty()) return {};
  auto out = fmt::format(R"(,"paging":{{"cursors":{{"before":"{}","after":"{}"}})",
                         page.before.empty() ? after : page.before, after);
  if (more) {
    Params params = call.params;
    params.set("after", after);
    std::string query;
    for (const auto& [name, value] : params.all())
      query += fmt::format("{}{}={}", query.empty() ? "" : "&", name, percent_encode(value));
    out += fmt::format(R"(,"next":"{}{}?{}")", call.base, path, query);
  }
  return out + "}";
}

std::string Graph::render(const Call& call, const Page& page, std::vector<std::string> rows,
                          std::optional<std::size_t> total) {
  tamper(faults_, call.subject, rows);
  rows_served_ += static_cast<std::int64_t>(rows.size());
  std::string body = "{\"data\":[";
  for (const auto& row : rows) {
    body += row;
    body += ',';
  }
  if (!rows.empty()) body.pop_back();
  body += ']';
  body += paging(call, page);
  if (total) body += fmt::format(R"(,"summary":{{"total_count":{}}})", *total);
  return body + "}";
}

}  // namespace sluice::sandbox
