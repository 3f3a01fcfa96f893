#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http_server.hpp"
#include "daemon/options.hpp"
#include "scheduler/pipeline.hpp"

namespace sluice {

struct ServerSettings {
  std::string address = "127.0.0.1";
  unsigned short port = 8321;
  bool protect_metrics = false;
  Duration drain_timeout = std::chrono::seconds(60);
  Settings settings;
};

struct SourceSettings {
  std::string name;
  const ConnectorKind* kind;
  Settings settings;
  std::shared_ptr<const std::vector<Option>> stream_options;  // what each of its streams may have
};
struct SinkSettings {
  std::string name;
  const SinkKind* kind;
  Settings settings;
};

// A sluice.yaml that has no faults. Nothing of it has been connected to, and no secret has been read.
struct Configuration {
  std::string file;
  ServerSettings server;
  std::optional<TextRef> state_url;
  Where state_url_where;
  std::shared_ptr<const MaskKey> mask_key;  // none: nothing is masked by hmac_sha256
  Where mask_key_where;
  int concurrent_runs = 8;
  std::int64_t memory = 32 << 20;
  Duration retention = std::chrono::hours(90 * 24);  // of run history, ledger and quarantine
  std::vector<SourceSettings> sources;
  std::vector<SinkSettings> sinks;
  std::vector<Pipeline> pipelines;  // in the file's order
  Faults warnings;                  // good enough to run, and yet likely a mistake

  const SourceSettings* source(std::string_view name) const;
  const SinkSettings* sink(std::string_view name) const;
  const Pipeline* pipeline(std::string_view name) const;
};

// The file that `-c` names, else ./sluice.yaml, else /etc/sluice/sluice.yaml.
std::string configuration_path(const std::optional<std::string>& given);

// Nothing when there are faults: then all of them, by place.
std::optional<Configuration> load_configuration(const std::string& path, const Kinds& kinds, Faults& faults);
// The same of a text; `file` is what faults call it.
std::optional<Configuration> read_configuration(std::string_view yaml, const std::string& file, const Kinds& kinds,
                                                Faults& faults);

// What `check` says about references: those that do not resolve here and now, files that everybody can read. Reads
// them, and forgets them.
Faults check_references(const Configuration& configuration);

// For the HTTP server. Resolves the tokens: throws Error(give_up).
ServerOptions server_options(const Configuration& configuration);
// The state's file: of state.url, or the default. Throws Error(give_up).
std::string state_path(const Configuration& configuration);

// After a reload: whether this pipeline is as it was, so that its next fire stays, and a running one is left alone.
// False too where its source or its sink changed, or where one of the two files does not have it.
bool same_pipeline(const Configuration& before, const Configuration& after, std::string_view name);
bool same_source(const Configuration& before, const Configuration& after, std::string_view name);
bool same_sink(const Configuration& before, const Configuration& after, std::string_view name);

}  // namespace sluice
