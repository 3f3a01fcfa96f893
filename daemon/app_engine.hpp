#pragma once
#include <map>
#include <memory>
#include <string>

#include "daemon/configuration.hpp"
#include "daemon/log.hpp"
#include "net/in_flight.hpp"
#include "net/quota_store.hpp"
#include "scheduler/replay.hpp"
#include "scheduler/run.hpp"

namespace sluice {

// The sources and sinks of a configuration, made when they are first used, so that a missing secret fails what needs it
// and nothing else; and the runs of its pipelines.
class Engine {
 public:
  Engine(asio::any_io_executor executor, Clock& clock, Events& events, Log& log, std::int64_t memory);
  ~Engine();

  // Sources that are made from now on leave what they spent of their quotas there. Only where runs are recorded too: a
  // command that looks must not make the state's file.
  void keep_quotas(QuotaStore& quotas) { quotas_ = &quotas; }
  // What is unchanged goes on as it is; runs keep what they began with. limits.memory counts from now on.
  void configure(std::shared_ptr<const Configuration> configuration);

  // These throw Error(give_up) when a reference does not resolve.
  Connector& connector(const std::string& source);
  Sink& sink(const std::string& name);

  // One run of a pipeline of the configuration.
  task<RunEnded> run(RunRecord record, RunOptions options);
  // Loads the quarantined rows of a stream of the configuration again.
  task<ReplayResult> replay(const Pipeline& pipeline, const StreamPlan& stream, const ReplayOptions& options);
  // Sink::prune of a sink of the configuration.
  task<std::int64_t> prune(std::string sink, Instant before);
  // Closes the sinks' connections.
  task<void> close();

 private:
  struct MadeSource;
  struct MadeSink;
  std::shared_ptr<MadeSource> made_source(const std::string& name);
  std::shared_ptr<MadeSink> made_sink(const std::string& name);

  asio::any_io_executor executor_;
  Clock& clock_;
  Events& events_;
  Log& log_;
  Rng rng_;
  InFlightLimits in_flight_;
  QuotaStore* quotas_ = nullptr;
  Semaphore memory_;
  Remembered remembered_;
  std::shared_ptr<const Configuration> configuration_;
  std::map<std::string, std::shared_ptr<MadeSource>> sources_;
  std::map<std::string, std::shared_ptr<MadeSink>> sinks_;
};

}  // namespace sluice
