#include <set>

#include "tests/connectors/facebook_ads_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace sluice::test;

namespace {

std::vector<std::string> list(const std::string& comma) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= comma.size();) {
    const auto end = std::min(comma.find(',', at), comma.size());
    if (end > at) parts.push_back(comma.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// An account with two campaigns of two ad sets of two ads each: ids c1, c1s1, c1s1a1, … as numbers 1, 11, 111.
// Campaign 2 and what is in it is deleted: listed only for who asks for that. The first of a list comes twice.
// A report is refused as too large when `too_large` says so.
class SmallAccount {
 public:
  std::function<bool(const std::vector<std::string>& ads, const json& range, const std::vector<std::string>& fields)>
      too_large;
  std::function<void(json& row)> touch = [](json&) {};
  bool refuse_at_once = true;  // when it is submitted; otherwise the report fails
  std::vector<std::string> asked;

  HttpResponse answer(const HttpRequest& request) {
    const auto path = path_of(request);
    if (request.method == "POST") return submit(request);
    if (path.ends_with("/campaigns")) return ids(request, 1);
    if (path.ends_with("/adsets")) return ids(request, 2);
    if (path.ends_with("/ads")) return ids(request, 3);
    const auto number = static_cast<std::size_t>(std::stoi(path.substr(7)));
    if (path.ends_with("/insights")) return HttpResponse(200, {}, rows(reports_.at(number)));
    if (failed_.count(number) > 0)
      return HttpResponse(
          200, {},
          R"({"async_status":"Job Failed","async_percent_completion":12,"error_code":-3,"error_subcode":1504045,"error_message":"Report Too Large"})");
    return HttpResponse(200, {}, completed);
  }

 private:
  static std::vector<std::string> all(std::size_t digits) {
    std::vector<std::string> names{""};
    for (std::size_t i = 0; i < digits; ++i) {
      std::vector<std::string> longer;
      for (const auto& name : names)
        for (const auto* digit : {"1", "2"}) longer.push_back(name + digit);
      names = longer;
    }
    return names;
  }
  static std::vector<std::string> chosen(const HttpRequest& request, std::size_t digits) {
    auto names = all(digits);
    for (const auto& filter : json::parse(parameter(request, "filtering").value())) {
      if (!filter["field"].get<std::string>().ends_with(".id")) continue;
      std::erase_if(names, [&](const std::string& name) {
        for (const auto& id : filter["value"])
          if (name.starts_with(id.get<std::string>())) return false;
        return true;
      });
    }
    return names;
  }
  static HttpResponse ids(const HttpRequest& request, std::size_t digits) {
    std::vector<std::string> objects;
    const bool deleted_too = parameter(request, "filtering")->find("\"DELETED\"") != std::string::npos;
    for (const auto& id : chosen(request, digits))
      if (deleted_too || !id.starts_with("2")) objects.push_back(json({{"id", id}}).dump());
    if (!objects.empty()) objects.push_back(objects.front());  // pages shift while they are read
    return HttpResponse(200, {}, rows(objects));
  }
  HttpResponse submit(const HttpRequest& request) {
    const auto level = parameter(request, "level").value();
    const auto ads = chosen(request, 3);
    const auto range = json::parse(parameter(request, "time_range").value());
    const auto fields = list(parameter(request, "fields").value());
    asked.push_back(parameter(request, "fields").value());
    const bool refused = too_large(ads, range, fields);
    if (refused && refuse_at_once) return HttpResponse(400, {}, fault(100, 1487534, "Too many rows"));
    const auto number = 1000 + reports_.size();
    if (refused) failed_.insert(number);
    auto& report = reports_[number];
    for (auto day = *parse_day(range["since"].get<std::string>()); day <= *parse_day(range["until"].get<std::string>());
         ++day)
      for (const auto& ad : ads) {
        json row = {{"account_id", "1"}, {"date_start", format_day(day)}, {"date_stop", format_day(day)}};
        for (const auto& field : fields) {
          if (field == "ad_id") row[field] = ad;
          if (field == "adset_id") row[field] = ad.substr(0, 2);
          if (field == "campaign_id") row[field] = ad.substr(0, 1);
          if (field == "impressions" || field == "clicks" || field == "spend") row[field] = ad + "0";
          if (field == "actions") row[field] = json::array({{{"action_type", "x"}, {"value", ad}}});
        }
        touch(row);
        report.push_back(row.dump());
      }
    return HttpResponse(200, {}, R"({"report_run_id":")" + std::to_string(number) + "\"}");
  }
  std::map<std::size_t, std::vector<std::string>> reports_;
  std::set<std::size_t> failed_;
};

struct Splitting {
  Facebook fb;
  SmallAccount account;
  StreamSpec spec = fb.stream("insights", "fields: [impressions, clicks, spend, actions]");
  Splitting() {
    fb.http.answer_with([this](const HttpRequest& request) { return account.answer(request); });
  }
  static std::set<std::string> every_ad() { return {"111", "112", "121", "122", "211", "212", "221", "222"}; }
};

}  // namespace

TEST_CASE("what is too large for one report is cut by days first") {
  Splitting s;
  s.account.too_large = [](auto&, const json& range, auto&) { return range["since"] != range["until"]; };
  const auto out = s.fb.read(s.spec, s.fb.day("2026-02-25", 5));
  CHECK(out.rows.size() == 40);
  std::set<std::pair<std::string, std::string>> keys;
  for (const auto& row : out.rows) keys.emplace(row.at("date_start"), row.at("ad_id"));
  CHECK(keys.size() == 40);
  CHECK(keys.begin()->first == "2026-02-25");
  CHECK(keys.rbegin()->first == "2026-03-01");
}

TEST_CASE("a day that is too large is cut by campaigns, ad sets and ads, whether it is refused or fails") {
  for (const bool at_once : {true, false}) {
    for (const std::size_t most : {4u, 2u, 1u}) {
      INFO(at_once << " " << most);
      Splitting s;
      s.account.refuse_at_once = at_once;
      s.account.too_large = [most](const std::vector<std::string>& ads, auto&, auto&) { return ads.size() > most; };
      const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
      const auto ads = out.column("ad_id");
      CHECK(ads.size() == 8);
      CHECK(std::set<std::string>(ads.begin(), ads.end()) == Splitting::every_ad());
      CHECK(out.missing.empty());
    }
  }
}

TEST_CASE("a report that cannot be made is cut by fields, and its rows are put together again") {
  Splitting s;
  s.account.too_large = [](const std::vector<std::string>& ads, auto&, const std::vector<std::string>& fields) {
    return ads.size() > 1 || (ads[0] == "212" && fields.size() > 4);
  };
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  CHECK(out.rows.size() == 8);
  CHECK(out.missing.empty());
  for (const auto& row : out.rows) {
    INFO(row.at("ad_id"));
    CHECK(row.at("impressions") == row.at("ad_id") + "0");
    CHECK(row.at("spend") == row.at("ad_id") + "0");
    CHECK(row.at("actions").find(row.at("ad_id")) != std::string::npos);
  }
  for (const auto& fields : s.account.asked) CHECK(fields.starts_with("account_id,ad_id,"));
}

TEST_CASE("a field that can never be had is left out and said, the rest is loaded") {
  Splitting s;
  s.account.too_large = [](const std::vector<std::string>& ads, auto&, const std::vector<std::string>& fields) {
    return ads.size() > 1 || (ads[0] == "212" && std::find(fields.begin(), fields.end(), "actions") != fields.end());
  };
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  CHECK(out.rows.size() == 8);
  CHECK(out.missing == std::vector<std::string>{"actions"});
  CHECK_THAT(out.reason, Catch::Contains("2026-03-01") && Catch::Contains("Too many rows"));
  for (const auto& row : out.rows) {
    CHECK(row.at("spend") == row.at("ad_id") + "0");
    // Once it is known that the slice does without the field, nothing asks for it any more.
    CHECK((row.at("actions") == "-") == (row.at("ad_id") >= "212"));
  }
}

TEST_CASE("a report that cannot be made with any field fails and loads nothing of its window") {
  Splitting s;
  s.account.too_large = [](auto&, auto&, auto&) { return true; };
  const auto error = s.fb.failure(s.spec, s.fb.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("not even field by field"));
}

TEST_CASE("a row that is bad in one half of its fields is no row") {
  Splitting s;
  s.account.too_large = [](const std::vector<std::string>& ads, auto&, const std::vector<std::string>& fields) {
    return ads.size() > 1 || (ads[0] == "212" && fields.size() > 4);
  };
  s.account.touch = [](json& row) {
    if (row["ad_id"] == "212" && row.contains("clicks")) row["clicks"] = "many";
  };
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  CHECK(out.rows.size() == 7);
  REQUIRE(out.rejects.size() == 1);
  CHECK(out.rejects[0].key == R"(["1","2026-03-01","212"])");
}

TEST_CASE("rows of an account are not cut by campaigns, which would change them") {
  Splitting s;
  const auto spec = s.fb.stream("insights", "{level: account, fields: [impressions, spend]}");
  CHECK(spec.key == std::vector<std::string>{"account_id", "date_start"});
  s.fb.http.answer_with([&](const HttpRequest& request) -> HttpResponse {
    if (request.method != "POST") return s.account.answer(request);
    CHECK(parameter(request, "filtering")->find(".id\"") == std::string::npos);
    const auto fields = parameter(request, "fields").value();
    return fields == "account_id,impressions" || fields == "account_id,spend"
               ? HttpResponse(200, {}, submitted)
               : HttpResponse(400, {}, fault(100, 1487534));
  });
  s.fb.http.expect("POST /v26.0/act_1/insights")
      .with("fields", "account_id,impressions,spend")
      .reply(400, fault(100, 1487534));
  s.fb.http.expect("POST /v26.0/act_1/insights").with("fields", "account_id,impressions").reply(200, submitted);
  s.fb.http.expect("GET /v26.0/77").reply(200, completed);
  s.fb.http.expect("GET /v26.0/77/insights")
      .reply(200, rows({R"({"account_id":"1","date_start":"2026-03-01","impressions":"5"})"}));
  s.fb.http.expect("POST /v26.0/act_1/insights").with("fields", "account_id,spend").reply(200, submitted);
  s.fb.http.expect("GET /v26.0/77").reply(200, completed);
  s.fb.http.expect("GET /v26.0/77/insights")
      .reply(200, rows({R"({"account_id":"1","date_start":"2026-03-01","spend":"1.5"})"}));
  const auto out = s.fb.read(spec, s.fb.day("2026-03-01"));
  REQUIRE(out.rows.size() == 1);
  CHECK(out.rows[0].at("impressions") == "5");
  CHECK(out.rows[0].at("spend") == "1.5");
}

TEST_CASE("a report's pages shrink without losing or repeating a row") {
  Facebook fb("page_size: 4");
  fb.http.expect("POST /v26.0/act_1/insights").reply(200, submitted);
  fb.http.expect("GET /v26.0/77").reply(200, completed);
  fb.http.expect("GET /v26.0/77/insights").with("limit", "4").reply(200, rows({row("2026-03-01", "1")}, "x"));
  fb.http.expect("GET /v26.0/77/insights").with("limit", "4").with("after", "x").reply(500, fault(100, 1504018));
  fb.http.expect("GET /v26.0/77/insights")
      .with("limit", "2")
      .with("after", "x")
      .reply(200, rows({row("2026-03-01", "2")}, "y"));
  fb.http.expect("GET /v26.0/77/insights")
      .with("limit", "2")
      .with("after", "y")
      .reply(200, rows({row("2026-03-01", "3")}));
  const auto out = fb.read(fb.stream("insights"), fb.day("2026-03-01"));
  CHECK(out.column("ad_id") == std::vector<std::string>{"1", "2", "3"});
  CHECK(fb.http.everything_seen());
}

TEST_CASE("a window found too large after rows were handed on is read again in parts") {
  Splitting s;
  bool deep = true;
  s.account.too_large = [](auto&, auto&, auto&) { return false; };
  s.fb.http.answer_with([&](const HttpRequest& request) {
    if (deep && path_of(request) == "/v26.0/1000/insights")
      return parameter(request, "after")
                 ? HttpResponse(
                       400, {},
                       fault(100, 0, "The After Cursor specified exceeds the max limit supported by this endpoint"))
                 : HttpResponse(200, {}, rows({row("2026-03-01", "111")}, "deep"));
    return s.account.answer(request);
  });
  const auto error = s.fb.failure(s.spec, s.fb.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::retry);
  const auto reports = s.account.asked.size();
  const auto out = s.fb.read(s.spec, s.fb.day("2026-03-01"));
  CHECK(out.rows.size() == 8);
  CHECK(s.account.asked.size() == reports + 2);  // one for each campaign
}

TEST_CASE("a report that is dropped, stalls or never starts is submitted again") {
  const std::string skipped = R"({"async_status":"Job Skipped","async_percent_completion":0})";
  const std::string waiting = R"({"async_status":"Job Not Started","async_percent_completion":0})";
  const std::string stuck = R"({"async_status":"Job Running","async_percent_completion":100})";
  const std::string failing =
      R"({"async_status":"Job Failed","async_percent_completion":0,"error_code":-2,"error_subcode":2490547})";
  for (const auto& [status, after] :
       std::vector<std::pair<std::string, Duration>>{{skipped, 0s}, {waiting, 10min}, {stuck, 15min}, {failing, 0s}}) {
    INFO(status);
    Facebook fb("accounts: [\"1\"]");
    int reports = 0;
    Duration again{};
    fb.http.answer_with([&](const HttpRequest& request) {
      if (request.method == "POST") {
        if (++reports == 2) again = fb.world.clock().uptime();
        return HttpResponse(200, {}, R"({"report_run_id":"7)" + std::to_string(reports) + "\"}");
      }
      if (path_of(request) == "/v26.0/71") return HttpResponse(200, {}, status);
      if (path_of(request) == "/v26.0/72") return HttpResponse(200, {}, completed);
      CHECK(path_of(request) == "/v26.0/72/insights");
      return HttpResponse(200, {}, rows({row("2026-03-01", "1")}));
    });
    CHECK(fb.read(fb.stream("insights"), fb.day("2026-03-01")).rows.size() == 1);
    CHECK(reports == 2);
    CHECK(again >= after);
    CHECK(again < after + 1min);
  }
}

TEST_CASE("a report that moves on is waited for, and a failed one that says why stops at once") {
  Facebook slow;
  int percent = 0;
  slow.http.answer_with([&](const HttpRequest& request) {
    if (request.method == "POST") return HttpResponse(200, {}, submitted);
    if (path_of(request).ends_with("/insights")) return HttpResponse(200, {}, rows({}));
    if (slow.world.clock().uptime() > 10min * (percent + 1)) ++percent;
    return HttpResponse(200, {},
                        percent >= 5 ? completed
                                     : R"({"async_status":"Job Running","async_percent_completion":)" +
                                           std::to_string(percent * 20) + "}");
  });
  slow.read(slow.stream("insights"), slow.day("2026-03-01"));
  CHECK(slow.world.clock().uptime() >= 50min);
  CHECK(slow.http.lines()[0].starts_with("POST"));

  Facebook bad;
  bad.http.expect("POST /v26.0/act_1/insights").reply(200, submitted);
  bad.http.expect("GET /v26.0/77")
      .reply(
          200,
          R"({"async_status":"Job Failed","async_percent_completion":0,"error_code":2,"error_subcode":1504041,"error_message":"Invalid combination"})");
  const auto error = bad.failure(bad.stream("insights"), bad.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("Invalid combination") && Catch::Contains("breakdowns"));
}

TEST_CASE("a report that is complete and stays unreadable is submitted again, then given up for now") {
  Facebook fb("retry: {attempts: 2}");
  int reports = 0;
  fb.http.answer_with([&](const HttpRequest& request) {
    if (request.method == "POST") ++reports;
    if (request.method == "POST") return HttpResponse(200, {}, submitted);
    return path_of(request).ends_with("/insights")
               ? HttpResponse(400, {}, fault(2601, 1815107, "Loading Async Ads Report Failed"))
               : HttpResponse(200, {}, completed);
  });
  const auto error = fb.failure(fb.stream("insights"), fb.day("2026-03-01"));
  CHECK(error.remedy() == Remedy::retry);
  CHECK(reports == 3);
}

TEST_CASE("reports ask for objects of every status, so that deleted ads keep their past") {
  for (const auto& [level, prefix] : std::vector<std::pair<std::string, std::string>>{
           {"ad", "ad"}, {"adset", "adset"}, {"campaign", "campaign"}, {"account", "ad"}}) {
    Facebook fb;
    fb.http.expect("POST /v26.0/act_1/insights")
        .with("level", level)
        .where([&, prefix = prefix](const HttpRequest& request) {
          const auto filter = json::parse(parameter(request, "filtering").value()).at(0);
          return filter["field"] == prefix + ".effective_status" && filter["operator"] == "IN" &&
                 filter["value"] == every_status(prefix);
        })
        .reply(200, submitted);
    fb.http.expect("GET /v26.0/77").reply(200, completed);
    fb.http.expect("GET /v26.0/77/insights").reply(200, rows({}));
    fb.read(fb.stream("insights", "level: " + level), fb.day("2026-03-01"));
    CHECK(fb.http.everything_seen());
  }
}

TEST_CASE("no more reports of an account are under way at once than the file allows") {
  Facebook fb("report: {concurrency: 2}");
  int open = 0, most = 0;
  std::map<std::string, int> looks;
  fb.http.answer_with([&](const HttpRequest& request) {
    const auto path = path_of(request);
    if (request.method == "POST") {
      most = std::max(most, ++open);
      return HttpResponse(200, {},
                          R"({"report_run_id":")" +
                              std::to_string(100 + looks.size() + static_cast<std::size_t>(fb.http.requests().size())) +
                              "\"}");
    }
    if (path.ends_with("/insights")) return HttpResponse(200, {}, rows({}));
    if (++looks[path] < 3)
      return HttpResponse(200, {}, R"({"async_status":"Job Running","async_percent_completion":5})");
    --open;
    return HttpResponse(200, {}, completed);
  });
  const auto spec = fb.stream("insights");
  std::vector<Slice> slices;
  for (const auto* day : {"2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"}) slices.push_back(fb.day(day));
  KeptOutput out(spec);
  const auto all = [&]() -> task<void> {
    TaskGroup group(fb.world.executor());
    for (const auto& slice : slices) group.spawn(fb.connector->read(spec, slice, out));
    co_await group.join();
  };
  fb.world.run(all());
  CHECK(most == 2);
  CHECK(fb.connector->estimated_requests(spec, 4) == 20);
}
