#pragma once
#include "daemon/control.hpp"
#include "daemon/event_hub.hpp"
#include "daemon/http_server.hpp"

namespace sluice {

// The paths of the server: health, metrics, the operator's API, live events.
class ApiRoutes final : public Handler {
 public:
  ApiRoutes(Control& control, EventHub& hub, Log& log, Clock& clock, bool protect_metrics);

  Role needed(const ServerRequest& request) const override;
  task<ServerReply> answer(const ServerRequest& request) override;
  task<void> follow(const ServerRequest& request, Following& out) override;

 private:
  task<ServerReply> route(const ServerRequest& request);
  ServerReply health(const ServerRequest& request);
  task<ServerReply> api(const ServerRequest& request);
  task<ServerReply> read(const ServerRequest& request);
  task<ServerReply> act(const ServerRequest& request);

  Control& control_;
  EventHub& hub_;
  Log& log_;
  Clock& clock_;
  bool protect_metrics_;
};

}  // namespace sluice
