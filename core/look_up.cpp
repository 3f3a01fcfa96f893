#include "core/look_up.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <thread>

namespace sluice {
namespace {

// Shared by its thread and by those who wait, whoever goes first. The thread only writes here and never to the event
// loop, which may be gone before the system answers; and nobody waits for it when the process ends.
struct LookUp {
  int done = ::eventfd(0, EFD_CLOEXEC);  // readable once it has ended
  std::atomic<bool> ended = false;
  std::vector<asio::ip::address> addresses;
  error_code failure;

  LookUp() = default;
  LookUp(const LookUp&) = delete;
  LookUp& operator=(const LookUp&) = delete;
  ~LookUp() {
    if (done >= 0) ::close(done);
  }
};

error_code failure_of(int code) {
  switch (code) {
    case 0:
      return {};
    case EAI_AGAIN:
      return asio::error::host_not_found_try_again;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
      return asio::error::host_not_found;
    case EAI_SYSTEM:
      return error_code(errno, boost::system::system_category());
    default:
      return asio::error::no_recovery;
  }
}

std::optional<asio::ip::address> address_of(const sockaddr& socket) {
  if (socket.sa_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(socket);
    return asio::ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (socket.sa_family != AF_INET6) return {};
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(socket);
  asio::ip::address_v6::bytes_type bytes;
  std::copy(std::begin(v6.sin6_addr.s6_addr), std::end(v6.sin6_addr.s6_addr), bytes.begin());
  return asio::ip::address_v6(bytes, v6.sin6_scope_id);
}

void ask_system(LookUp& look_up, const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  look_up.failure = failure_of(::getaddrinfo(host.c_str(), nullptr, &hints, &found));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> answers(found, &::freeaddrinfo);
  for (const auto* one = found; one != nullptr; one = one->ai_next)
    if (const auto address = address_of(*one->ai_addr)) look_up.addresses.push_back(*address);
  look_up.ended = true;
  ::eventfd_write(look_up.done, 1);
}

// A thread for each name, however many ask for it: names that hang hold up nobody else, and cannot use up the threads.
std::shared_ptr<LookUp> begun(const std::string& host, error_code& failure) {
  thread_local std::map<std::string, std::weak_ptr<LookUp>> under_way;  // of this thread's event loop
  std::erase_if(under_way, [](const auto& one) { return one.second.expired(); });
  auto look_up = under_way[host].lock();
  if (look_up && !look_up->ended) return look_up;
  look_up = std::make_shared<LookUp>();
  failure = error_code(EMFILE, boost::system::system_category());
  if (look_up->done < 0) return nullptr;
  try {
    std::thread([look_up, host] { ask_system(*look_up, host); }).detach();
  } catch (const std::system_error& no_thread) {
    failure = no_thread.code();
    return nullptr;
  }
  failure = {};
  under_way[host] = look_up;
  return look_up;
}

// What the deadline and the end of the look-up wake; shared by their handlers, which may be the last to go.
struct Waiting {
  asio::posix::stream_descriptor done;
  asio::steady_timer until;
  Waiting(const asio::any_io_executor& executor, int copy, std::chrono::steady_clock::time_point deadline)
      : done(executor, copy), until(executor, deadline) {}
};

}  // namespace

task<std::vector<asio::ip::address>> look_up(const std::string& host, std::chrono::steady_clock::time_point deadline,
                                             error_code& failure) {
  std::vector<asio::ip::address> addresses;
  const auto literal = asio::ip::make_address(host, failure);
  if (!failure) {
    addresses.push_back(literal);
    co_return addresses;
  }
  failure = {};
  const auto asked = begun(host, failure);
  if (failure) co_return addresses;
  const int copy = ::fcntl(asked->done, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) {
    failure = error_code(EMFILE, boost::system::system_category());
    co_return addresses;
  }
  const auto executor = co_await asio::this_coro::executor;
  const auto waiting = std::make_shared<Waiting>(executor, copy, deadline);
  waiting->done.async_wait(asio::posix::stream_descriptor::wait_read,
                           [waiting](const error_code&) { waiting->until.cancel(); });
  error_code woken;
  co_await waiting->until.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  error_code ignored;
  waiting->done.cancel(ignored);
  if (!asked->ended) {
    if (woken) throw_cancelled();
    failure = asio::error::timed_out;
    co_return addresses;
  }
  failure = asked->failure;
  addresses = asked->addresses;
  co_return addresses;
}

}  // namespace sluice
