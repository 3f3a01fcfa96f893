#include "sandbox/actions.hpp"

#include <charconv>

namespace sluice::sandbox {
namespace {

// How many came by each way, as the four of Count's conversions.
struct Ways {
  std::array<std::int64_t, 4> n{};

  std::int64_t in(std::string_view window) const {
    if (window == "value") return n[0] + n[1] + n[3];  // Meta: the default is 7d_click and 1d_view
    if (window == "1d_click") return n[0];
    if (window == "7d_click") return n[0] + n[1];
    if (window == "28d_click") return n[0] + n[1] + n[2];
    if (window == "1d_view") return n[3];
    return 0;  // Meta: 7d_view and 28d_view bring nothing since 2026-01-12
  }
};

Ways at_once(std::int64_t count) {
  return {{count, 0, 0, 0}};
}

Ways ways(const Measures& m, Count first) {
  return {{m.counts[first], m.counts[first + 1], m.counts[first + 2], m.counts[first + 3]}};
}

struct Action {
  std::string_view type;
  Ways counts;
  Ways values;  // minor units
};

// Hierarchical and overlapping, as Meta's are: never to be added up.
std::vector<Action> actions_of(const Measures& m) {
  const auto engaged = m[link_clicks] + m[reactions] + m[video_views];
  const auto bought = ways(m, purchase_d1);
  const auto revenue = ways(m, revenue_d1);
  return {{"page_engagement", at_once(engaged), {}},
          {"post_engagement", at_once(engaged), {}},
          {"link_click", at_once(m[link_clicks]), {}},
          {"landing_page_view", at_once(m[landings]), {}},
          {"post_reaction", at_once(m[reactions]), {}},
          {"video_view", at_once(m[video_views]), {}},
          {"add_to_cart", ways(m, cart_d1), {}},
          {"omni_purchase", bought, revenue},
          {"purchase", bought, revenue},
          {"offsite_conversion.fb_pixel_purchase", bought, revenue}};
}

void put_number(std::string& out, std::int64_t value) {
  char digits[24];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, end);
}

// Nothing where the number is zero or has no denominator.
bool put_value(std::string& out, std::string_view key, const Action& action, Of what, std::int64_t spend_micros,
               const Account& account) {
  const auto count = action.counts.in(key);
  const auto value = minor_to_micros(account, action.values.in(key));
  if (what == Of::values || what == Of::returns ? value == 0 : count == 0) return false;
  if (what == Of::returns && spend_micros == 0) return false;
  out += ",\"";
  out += key;
  out += "\":\"";
  if (what == Of::counts) put_number(out, count);
  if (what == Of::values) append_micros(out, value);
  if (what == Of::costs) append_micros(out, spend_micros / count);
  if (what == Of::returns)
    append_micros(out, static_cast<std::int64_t>(static_cast<__int128_t>(value) * 1'000'000 / spend_micros));
  out += '"';
  return true;
}

struct Cut {
  std::string_view extra;  // ,"action_device":"desktop"
  std::int64_t low;
  std::int64_t high;  // of 100
};

// An action falls into the values of the second action breakdown; reactions exist for reactions only.
std::vector<Cut> cuts(const InsightsQuery& query, std::string_view type) {
  const auto asked = [&](std::string_view name) {
    return std::ranges::find(query.action_breakdowns, name) != query.action_breakdowns.end();
  };
  if (asked("action_device"))
    return {{R"(,"action_device":"iphone")", 0, 46},
            {R"(,"action_device":"android_smartphone")", 46, 81},
            {R"(,"action_device":"desktop")", 81, 100}};
  if (asked("action_destination"))
    return {{R"(,"action_destination":"shop.example")", 0, 70}, {R"(,"action_destination":"Unknown")", 70, 100}};
  if (asked("action_reaction") && type == "post_reaction")
    return {{R"(,"action_reaction":"like")", 0, 70},
            {R"(,"action_reaction":"love")", 70, 93},
            {R"(,"action_reaction":"haha")", 93, 100}};
  return {{"", 0, 100}};
}

Ways part(const Ways& whole, const Cut& cut) {
  Ways out;
  for (std::size_t i = 0; i < whole.n.size(); ++i) out.n[i] = whole.n[i] * cut.high / 100 - whole.n[i] * cut.low / 100;
  return out;
}

void write_action(std::string& out, const InsightsQuery& query, const Action& action, Of what,
                  std::int64_t spend_micros, const Account& account) {
  for (const auto& cut : cuts(query, action.type)) {
    const Action piece{action.type, part(action.counts, cut), part(action.values, cut)};
    const auto before = out.size();
    out += "{\"action_type\":\"";
    out += action.type;
    out += '"';
    out += cut.extra;
    bool any = put_value(out, "value", piece, what, spend_micros, account);
    for (const auto& window : query.windows) any |= put_value(out, window, piece, what, spend_micros, account);
    out += "},";
    if (!any) out.resize(before);
  }
}

}  // namespace

std::int64_t minor_to_micros(const Account& account, std::int64_t minor) {
  return minor * (account.decimals == 0 ? 1'000'000 : 10'000);
}

void append_micros(std::string& out, std::int64_t micros) {
  put_number(out, micros / 1'000'000);
  auto fraction = micros % 1'000'000;
  if (fraction == 0) return;
  int digits = 6;
  for (; fraction % 10 == 0; fraction /= 10) --digits;
  char text[6];
  for (int i = digits; i-- > 0; fraction /= 10) text[i] = static_cast<char>('0' + fraction % 10);
  out += '.';
  out.append(text, static_cast<std::size_t>(digits));
}

bool write_actions(std::string& out, const InsightsQuery& query, const Measures& m, Of what, const Account& account) {
  const auto before = out.size();
  const auto spent = minor_to_micros(account, m[spend]);
  out += '[';
  for (const auto& action : actions_of(m)) {
    if (what == Of::returns && action.type != "omni_purchase") continue;
    write_action(out, query, action, what, spent, account);
  }
  if (out.size() == before + 1) return false;
  out.back() = ']';
  return true;
}

bool write_single(std::string& out, std::string_view action_type, std::int64_t value) {
  if (value == 0) return false;
  out += "[{\"action_type\":\"";
  out += action_type;
  out += "\",\"value\":\"";
  put_number(out, value);
  out += "\"}]";
  return true;
}

}  // namespace sluice::sandbox
