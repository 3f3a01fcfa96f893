#include "net/http.hpp"

#include <algorithm>
#include <charconv>

namespace sluice {
namespace {

constexpr bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

void append_encoded(std::string& out, std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (const char c : text) {
    if (is_unreserved(c)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
}

// "Sun, 06 Nov 1994 08:49:37 GMT". A year of more than four digits may be none that an Instant can hold.
std::optional<Instant> parse_http_date(const std::optional<std::string>& text) {
  Instant when;
  if (!text || !cctz::parse("%a, %d %b %E4Y %H:%M:%S GMT", *text, cctz::utc_time_zone(), &when)) return {};
  return when;
}

}  // namespace

std::optional<std::string> HttpResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

std::string beginning_of(const std::string& body) {
  if (body.find_first_not_of(" \r\n\t") == std::string::npos) return "nothing";
  auto text = body.substr(0, 80);
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c > 0x7e; }, ' ');
  return "\"" + text + (body.size() > 80 ? "…\"" : "\"");
}

std::optional<Instant> date_of(const HttpResponse& response) {
  return parse_http_date(response.header("date"));
}

std::optional<Duration> retry_after(const HttpResponse& response) {
  const auto text = response.header("retry-after");
  if (!text) return {};
  std::uint32_t seconds = 0;
  const auto [end, bad] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (bad == std::errc() && end == text->data() + text->size()) return std::chrono::seconds(seconds);
  const auto until = parse_http_date(text);
  const auto from = date_of(response);
  if (!until || !from) return {};
  return std::max(*until - *from, Duration::zero());
}

std::string without_secrets(std::string_view url) {
  const auto colon = url.find("://");
  const auto scheme = colon == url.npos ? std::string_view() : url.substr(0, colon + 3);
  auto rest = url.substr(scheme.size());
  auto shown = rest.substr(0, rest.find_first_of("?#"));
  // A password may hold a bare '/', '?' or '#', so that what looks like host and path is its beginning.
  if (const auto at = shown.rfind('@'); at != shown.npos)
    shown.remove_prefix(at + 1);
  else if (shown.find('/') == shown.npos && rest.find('@') != rest.npos)
    shown = "…";
  auto out = std::string(scheme) + std::string(shown);
  std::replace(out.begin(), out.end(), '\0', ' ');  // it would end the message that the URL stands in
  return out;
}

std::string url_encode(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  append_encoded(out, text);
  return out;
}

std::string form_encode(const Headers& parameters) {
  std::string out;
  for (const auto& [name, value] : parameters) {
    if (!out.empty()) out += '&';
    append_encoded(out, name);
    out += '=';
    append_encoded(out, value);
  }
  return out;
}

}  // namespace sluice
