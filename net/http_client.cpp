#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <list>
#include <map>

#include "net/connection.hpp"
#include "net/gzip.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t idle_per_place = 8;
// A connection in constant use would otherwise never see that its name has moved to another address.
constexpr Duration longest_life = 10min;
constexpr std::size_t large_answer = 32 * 1024;
constexpr std::size_t most_foreseen = 16u << 20;
constexpr std::size_t decoded_piece = 256 * 1024;

// Until when a body's next bytes must have come. A body that only drips is as dead as one that stands still.
class Pace {
 public:
  Pace(Deadline total, Duration window, std::size_t least) : total_(total), window_(window), least_(least) {
    restart();
  }
  Deadline deadline() const { return std::min(total_, until_); }
  void received(std::size_t bytes) {
    got_ += bytes;
    if (got_ >= least_) restart();
  }
  // The reader's own time is not the sender's fault.
  void excuse(Deadline since) { until_ += std::chrono::steady_clock::now() - since; }

 private:
  void restart() {
    got_ = 0;
    until_ = std::chrono::steady_clock::now() + window_;
  }

  Deadline total_, until_;
  Duration window_;
  std::size_t least_, got_ = 0;
};

std::size_t announced_size(const HttpResponse& head) {
  const auto text = head.header("content-length").value_or("");
  std::size_t size = 0;
  std::from_chars(text.data(), text.data() + text.size(), size);
  return size;
}

bool has_header(const HttpRequest& request, std::string_view name) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; };
  return std::any_of(request.headers.begin(), request.headers.end(), [&](const auto& header) {
    return std::equal(header.first.begin(), header.first.end(), name.begin(), name.end(), same);
  });
}

// A gzip body on its way: bad and truncated ones are errors.
class Unpacker {
 public:
  explicit Unpacker(std::string name) : name_(std::move(name)) {}

  // Appends the next piece to `out`; false: all that `in` held has been decoded.
  bool next(std::string_view& in, std::string& out) {
    if (in.empty() && !full_) return false;
    begun_ = true;
    const auto before = out.size();
    const auto state = gunzip_.decode(in, out, decoded_piece);
    if (state == Gunzip::State::corrupt)
      throw HttpError(Remedy::retry, "bad_http", fmt::format("the answer of {} is not valid gzip", name_));
    full_ = state == Gunzip::State::full;
    return out.size() > before;
  }
  void end() const {
    if (begun_ && !gunzip_.complete())
      throw HttpError(Remedy::retry, "reset", fmt::format("the gzip answer of {} broke off", name_));
  }

 private:
  std::string name_;
  Gunzip gunzip_;
  bool begun_ = false, full_ = false;
};

class PooledClient final : public HttpClient {
 public:
  PooledClient(asio::any_io_executor executor, Clock& clock, HttpOptions options)
      : clock_(clock), options_(std::move(options)), dialer_(make_dialer(std::move(executor), options_)) {
    if (options_.user_agent.empty()) options_.user_agent = "sluice/" SLUICE_VERSION;
  }

  task<HttpResponse> send(HttpRequest request) override;
  task<void> stream(HttpRequest request, BodyReader& reader) override;

 private:
  struct Line {
    std::unique_ptr<Connection> connection;
    Duration born{}, idle_since{};
  };
  struct Exchange {
    HttpTarget target;
    Line line;
    HttpResponse head;
    bool gzip = false;
  };

  void complete_headers(HttpRequest& request) const;
  task<Exchange> begin(HttpRequest request, Deadline deadline);
  task<Line> open(const HttpTarget& target, Deadline deadline);
  task<void> receive_whole(Exchange& exchange, Pace pace);
  task<void> receive_pieces(Exchange& exchange, Pace pace, BodyReader& reader);
  std::optional<Line> take_idle(const std::string& place);
  void keep(Exchange& exchange);
  void check_size(const Exchange& exchange, std::size_t size) const;

  Clock& clock_;
  HttpOptions options_;
  std::unique_ptr<Dialer> dialer_;
  std::map<std::string, std::list<Line>> idle_;
  std::size_t usual_ = 0;  // bytes of a large answer of late
};

void PooledClient::complete_headers(HttpRequest& request) const {
  if (!has_header(request, "user-agent")) request.headers.emplace_back("User-Agent", options_.user_agent);
  if (!has_header(request, "accept-encoding")) request.headers.emplace_back("Accept-Encoding", "gzip");
}

std::optional<PooledClient::Line> PooledClient::take_idle(const std::string& place) {
  const auto now = clock_.uptime();
  for (auto& [name, lines] : idle_)
    lines.remove_if([&](const Line& l) { return now - l.idle_since >= options_.idle || now - l.born >= longest_life; });
  auto& lines = idle_[place];
  while (!lines.empty()) {
    Line line = std::move(lines.back());
    lines.pop_back();
    if (line.connection->still_idle()) return line;
  }
  return {};
}

void PooledClient::keep(Exchange& exchange) {
  if (!exchange.line.connection->reusable()) return;
  exchange.line.idle_since = clock_.uptime();
  auto& lines = idle_[exchange.target.place()];
  lines.push_back(std::move(exchange.line));
  if (lines.size() > idle_per_place) lines.pop_front();
}

task<PooledClient::Line> PooledClient::open(const HttpTarget& target, Deadline deadline) {
  Line line;
  line.connection = co_await dialer_->dial(target, deadline);
  line.born = clock_.uptime();
  co_return line;
}

task<PooledClient::Exchange> PooledClient::begin(HttpRequest request, Deadline deadline) {
  complete_headers(request);
  Exchange exchange;
  exchange.target = parse_url(request.url);
  auto kept = take_idle(exchange.target.place());
  const bool reused = kept.has_value();
  if (reused)
    exchange.line = std::move(*kept);
  else
    exchange.line = co_await open(exchange.target, deadline);
  for (bool again = reused;; again = false) {
    std::optional<HttpError> failure;
    try {
      co_await exchange.line.connection->write(request, exchange.target, deadline);
      exchange.head = co_await exchange.line.connection->read_head(deadline);
    } catch (const HttpError& error) {
      failure = error;
    }
    if (!failure) break;
    // The other side had closed the kept connection before it saw the request.
    if (!again || failure->code() != "reset" || !exchange.line.connection->untouched()) throw HttpError(*failure);
    exchange.line = co_await open(exchange.target, deadline);
  }
  const auto coding = exchange.head.header("content-encoding").value_or("identity");
  exchange.gzip = coding == "gzip" || coding == "x-gzip";
  if (!exchange.gzip && coding != "identity" && !coding.empty())
    throw HttpError(
        Remedy::retry, "bad_http",
        fmt::format("{} answered in the encoding {}, which was not asked for", exchange.target.name(), coding));
  co_return exchange;
}

void PooledClient::check_size(const Exchange& exchange, std::size_t size) const {
  if (size <= options_.max_body) return;
  throw HttpError(Remedy::shrink, "too_large",
                  fmt::format("the answer of {} is larger than {}", exchange.target.name(),
                              format_size(static_cast<std::int64_t>(options_.max_body))));
}

task<void> PooledClient::receive_whole(Exchange& exchange, Pace pace) {
  auto& body = exchange.head.body;
  std::optional<Unpacker> unpacker;
  std::string packed;
  if (exchange.gzip) {
    unpacker.emplace(exchange.target.name());
  } else {
    check_size(exchange, announced_size(exchange.head));
    body.reserve(announced_size(exchange.head));
  }
  auto& landing = exchange.gzip ? packed : body;
  for (bool more = true; more;) {
    const auto before = landing.size();
    more = co_await exchange.line.connection->read_some(landing, pace.deadline());
    pace.received(landing.size() - before);
    for (std::string_view left = packed; unpacker && unpacker->next(left, body);) check_size(exchange, body.size());
    packed.clear();
    check_size(exchange, body.size());
    // Growing step by step would touch several times the memory of a large answer that does not announce its size.
    if (body.size() >= large_answer && body.capacity() < usual_) body.reserve(usual_);
  }
  usual_ = std::min(most_foreseen, std::max(body.size(), usual_ - usual_ / 8));
  if (unpacker) unpacker->end();
}

task<void> PooledClient::receive_pieces(Exchange& exchange, Pace pace, BodyReader& reader) {
  std::optional<Unpacker> unpacker;
  if (exchange.gzip) unpacker.emplace(exchange.target.name());
  std::string received, piece;
  for (bool more = true; more;) {
    more = co_await exchange.line.connection->read_some(received, pace.deadline());
    pace.received(received.size());
    if (!unpacker && !received.empty()) {
      const auto handed_on = std::chrono::steady_clock::now();
      co_await reader.piece(received);
      pace.excuse(handed_on);
    }
    for (std::string_view left = received; unpacker && unpacker->next(left, piece);) {
      const auto handed_on = std::chrono::steady_clock::now();
      co_await reader.piece(piece);
      pace.excuse(handed_on);
      piece.clear();
    }
    received.clear();
  }
  if (unpacker) unpacker->end();
}

task<HttpResponse> PooledClient::send(HttpRequest request) {
  const Deadline deadline = std::chrono::steady_clock::now() + request.timeout;
  const Duration window = std::min(request.timeout, options_.stall);
  Exchange exchange = co_await begin(std::move(request), deadline);
  const Pace pace(deadline, window, options_.least_per_stall);
  co_await receive_whole(exchange, pace);
  keep(exchange);
  co_return std::move(exchange.head);
}

task<void> PooledClient::stream(HttpRequest request, BodyReader& reader) {
  const Duration window = request.timeout;
  const Deadline deadline = std::chrono::steady_clock::now() + window;
  Exchange exchange = co_await begin(std::move(request), deadline);
  reader.begin(exchange.head);
  const Pace pace(Deadline::max(), window, options_.least_per_stall);
  co_await receive_pieces(exchange, pace, reader);
  keep(exchange);
}

}  // namespace

std::unique_ptr<HttpClient> make_http_client(asio::any_io_executor executor, Clock& clock, HttpOptions options) {
  return std::make_unique<PooledClient>(std::move(executor), clock, std::move(options));
}

}  // namespace sluice
