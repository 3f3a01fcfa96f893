#pragma once
#include "net/http.hpp"
#include "sandbox/sandbox.hpp"

namespace sluice::test {

// The sandbox behind the HttpClient interface, without sockets: for runs in virtual time. Whatever its url's host, a
// request goes to the sandbox.
class DirectClient final : public HttpClient {
 public:
  DirectClient(sandbox::Sandbox& sandbox, Clock& clock) : sandbox_(sandbox), clock_(clock) {}

  task<HttpResponse> send(HttpRequest request) override {
    auto reply = sandbox_.handle(translate(request));
    while (reply.more && reply.more(reply.body)) continue;
    co_await pass(reply, request.timeout);
    HttpResponse response(reply.status, std::move(reply.headers), std::move(reply.body));
    co_return response;
  }

  task<void> stream(HttpRequest request, BodyReader& reader) override {
    auto reply = sandbox_.handle(translate(request));
    co_await pass(reply, request.timeout);
    const HttpResponse head(reply.status, std::move(reply.headers), {});
    reader.begin(head);
    constexpr std::size_t kPiece = 64u << 10;
    while (reply.more && reply.more(reply.body)) continue;
    const std::string_view body = reply.body;
    for (std::size_t at = 0; at < body.size(); at += kPiece) co_await reader.piece(body.substr(at, kPiece));
  }

 private:
  static sandbox::Request translate(const HttpRequest& from) {
    sandbox::Request to;
    to.method = from.method;
    const auto host = from.url.find("//") + 2;
    const auto path = from.url.find('/', host);
    to.target = path == std::string::npos ? "/" : from.url.substr(path);
    to.headers.emplace_back("host", from.url.substr(host, path - host));
    for (const auto& [name, value] : from.headers) {
      std::string lower = name;
      for (auto& c : lower)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      to.headers.emplace_back(std::move(lower), value);
    }
    to.body = from.body;
    return to;
  }

  // What becomes of a reply on its way.
  task<void> pass(const sandbox::Reply& reply, Duration timeout) {
    const bool late = reply.ending == sandbox::Reply::Ending::slow && reply.slowly > timeout;
    if (reply.ending == sandbox::Reply::Ending::hang || late) {
      co_await clock_.sleep_for(timeout);
      throw HttpError(Remedy::retry, "timeout", "the sandbox did not answer in time");
    }
    if (reply.ending == sandbox::Reply::Ending::slow) co_await clock_.sleep_for(reply.slowly);
    if (reply.ending == sandbox::Reply::Ending::reset || reply.ending == sandbox::Reply::Ending::truncated)
      throw HttpError(Remedy::retry, "reset", "the sandbox closed the connection before the end of its answer");
  }

  sandbox::Sandbox& sandbox_;
  Clock& clock_;
};

}  // namespace sluice::test
