#include "daemon/configuration.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "core/error.hpp"
#include "daemon/pipelines.hpp"
#include "daemon/state_file.hpp"
#include "daemon/yaml.hpp"

namespace sluice {
namespace {

constexpr std::string_view sqlite_scheme = "sqlite://";

// sqlite:///var/lib/x.db, sqlite://./x.db
bool names_a_file(std::string_view url) {
  if (!url.starts_with(sqlite_scheme)) return false;
  url.remove_prefix(sqlite_scheme.size());
  return url.size() > 1 && (url.front() == '/' || url.front() == '.');
}

template <typename Things>
auto* named(Things& things, std::string_view name) {
  const auto at = std::find_if(things.begin(), things.end(), [&](const auto& thing) { return thing.name == name; });
  return at == things.end() ? nullptr : &*at;
}

// "127.0.0.1:8321", "[::1]:8321"
bool split_address(std::string_view text, std::string& address, unsigned short& port) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  auto host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto digits = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  boost::system::error_code bad;
  const auto parsed = boost::asio::ip::make_address(std::string(host), bad);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || bad) return false;
  address = parsed.to_string();
  return true;
}

void read_tokens(const Settings& server, Faults& faults) {
  std::set<std::string> names;
  for (const auto& token : server.tables("tokens")) {
    if (!token.has("name")) continue;
    if (!token.reference("name").literal())
      faults.emplace_back(token.where("name"), "\"name\": expected the text itself, found a reference");
    else if (const auto name = token.text("name"); !names.insert(name).second)
      faults.emplace_back(token.where("name"), fmt::format("two tokens are named \"{}\"", name));
  }
}

void read_server(const Settings& server, Configuration& into, Faults& faults) {
  auto& made = into.server;
  made.settings = server;
  made.protect_metrics = server.flag("protect_metrics");
  made.drain_timeout = server.duration("drain_timeout");
  read_tokens(server, faults);
  if (!server.reference("listen").literal()) {
    faults.emplace_back(server.where("listen"), "\"listen\": expected the text itself, found a reference");
    return;
  }
  const auto listen = server.text("listen");
  if (!split_address(listen, made.address, made.port)) {
    faults.emplace_back(
        server.where("listen"),
        fmt::format("\"listen\": found \"{}\", expected an IP address and a port, like 127.0.0.1:8321 or "
                    "[::]:8321",
                    listen));
    return;
  }
  if (boost::asio::ip::make_address(made.address).is_loopback()) return;
  if (server.tables("tokens").empty())
    faults.emplace_back(
        server.where("listen"),
        fmt::format("\"listen\": {} is not loopback, so that others may reach it: server.tokens is needed", listen));
  else if (!server.has("tls"))
    into.warnings.emplace_back(
        server.where("listen"),
        fmt::format("{} is not loopback and server.tls is not set: tokens cross the network in the clear, "
                    "unless something in front speaks TLS",
                    listen));
}

void read_state(const Settings& state, Configuration& into, Faults& faults) {
  if (!state.has("url")) return;
  into.state_url = state.reference("url");
  into.state_url_where = state.where("url");
  if (!into.state_url->literal()) return;
  const auto url = state.text("url");
  if (url.starts_with("postgres://") || url.starts_with("postgresql://"))
    faults.emplace_back(state.where("url"),
                        "\"url\": the state in PostgreSQL is not built yet: expected sqlite:///PATH");
  else if (!names_a_file(url))
    faults.emplace_back(state.where("url"), fmt::format("\"url\": found \"{}\", expected sqlite:///PATH", url));
}

std::string types_of(const auto& kinds) {
  std::string all;
  for (const auto& kind : kinds) all += (all.empty() ? "" : ", ") + std::string(kind.type);
  return all;
}

// The kind of one source or sink, or nothing and a fault.
template <typename Kind>
const Kind* kind_of(const YamlNode::Member& member, std::string_view what, std::span<const Kind> kinds,
                    Faults& faults) {
  if (const auto why = name_fault(member.name)) faults.emplace_back(member.where, *why);
  const auto& yaml = member.value;
  if (yaml.kind != YamlNode::Kind::map) {
    faults.emplace_back(yaml.where,
                        fmt::format("\"{}\": expected a mapping with a type: {}", member.name, types_of(kinds)));
    return nullptr;
  }
  const auto* type = yaml.find("type");
  if (type == nullptr || type->kind != YamlNode::Kind::scalar) {
    faults.emplace_back(type == nullptr ? yaml.where : type->where,
                        fmt::format("\"type\" is missing: expected one of {}", types_of(kinds)));
    return nullptr;
  }
  std::vector<std::string> known;
  for (const auto& kind : kinds) {
    if (kind.type == type->text) return &kind;
    known.emplace_back(kind.type);
  }
  faults.emplace_back(type->where, unknown_name(fmt::format("type of {}", what), type->text, known));
  return nullptr;
}

// A token that crosses the network in the clear.
void warn_of_plain_http(const Settings& source, Faults& warnings) {
  if (!source.has("base_url") || !source.reference("base_url").literal()) return;
  const auto text = source.text("base_url");
  std::string_view url = text;
  if (!url.starts_with("http://")) return;
  url.remove_prefix(std::strlen("http://"));
  auto host = url.substr(0, url.find_first_of("/?"));
  host = host.starts_with('[') ? host.substr(1, host.find(']') - 1) : host.substr(0, host.find(':'));
  boost::system::error_code bad;
  const auto address = boost::asio::ip::make_address(std::string(host), bad);
  if (host == "localhost" || (!bad && address.is_loopback())) return;
  warnings.emplace_back(source.where("base_url"),
                        "\"base_url\" is plain http: the credential crosses the network in the clear");
}

// `faulty` are those whose kind is not known: what belongs to the others can be checked in spite of their faults.
void read_sources(const YamlNode* yaml, const Kinds& kinds, Configuration& into, std::vector<std::string>& faulty,
                  Faults& faults) {
  if (yaml == nullptr) return;
  for (const auto& member : yaml->members) {
    const auto* kind = kind_of(member, "source", kinds.connectors, faults);
    if (kind == nullptr) {
      faulty.push_back(member.name);
      continue;
    }
    auto options = std::make_shared<const std::vector<Option>>(source_options(*kind));
    SourceSettings source{member.name, kind, check_settings(member.value, std::move(options), faults),
                          std::make_shared<const std::vector<Option>>(stream_options(*kind))};
    warn_of_plain_http(source.settings, into.warnings);
    into.sources.push_back(std::move(source));
  }
}

void read_sinks(const YamlNode* yaml, const Kinds& kinds, Configuration& into, std::vector<std::string>& faulty,
                Faults& faults) {
  if (yaml == nullptr) return;
  for (const auto& member : yaml->members) {
    const auto* kind = kind_of(member, "sink", kinds.sinks, faults);
    if (kind == nullptr) {
      faulty.push_back(member.name);
      continue;
    }
    auto options = std::make_shared<const std::vector<Option>>(sink_options(*kind));
    SinkSettings sink{member.name, kind, check_settings(member.value, std::move(options), faults)};
    const auto& settings = sink.settings;
    if (settings.has("url") && settings.reference("url").literal())
      if (const auto why = kind->url_fault(settings.text("url")))
        faults.emplace_back(settings.where("url"), "\"url\": " + *why);
    into.sinks.push_back(std::move(sink));
  }
}

void warn_of_unused(Configuration& into) {
  const auto used = [&](const std::string& name, auto member) {
    return std::any_of(into.pipelines.begin(), into.pipelines.end(),
                       [&](const Pipeline& p) { return p.*member == name; });
  };
  for (const auto& source : into.sources)
    if (!used(source.name, &Pipeline::source))
      into.warnings.emplace_back(source.settings.where(),
                                 fmt::format("source \"{}\" is used by no pipeline", source.name));
  for (const auto& sink : into.sinks)
    if (!used(sink.name, &Pipeline::sink))
      into.warnings.emplace_back(sink.settings.where(), fmt::format("sink \"{}\" is used by no pipeline", sink.name));
}

void read_mask_key(const Settings& settings, Configuration& into, Faults& faults) {
  if (settings.given().empty()) return;
  std::string id;
  if (settings.refers("id"))
    faults.emplace_back(settings.where("id"), "\"id\": expected the name itself, found a reference");
  else if (settings.has("id"))
    id = settings.text("id");
  if (const auto why = mask_key_id_fault(id); why && settings.has("id") && !settings.refers("id"))
    faults.emplace_back(settings.where("id"), fmt::format("\"id\": {}", *why));
  // A faulty one too: what needs it shall not complain that there is none.
  into.mask_key = std::make_shared<MaskKey>(id, settings.has("secret") ? settings.reference("secret") : TextRef());
  into.mask_key_where = settings.where("secret");
}

std::optional<Configuration> interpret(const YamlNode& yaml, const std::string& file, const Kinds& kinds,
                                       Faults& faults) {
  const auto settings = check_settings(yaml, file_options(), faults);
  Configuration made;
  made.file = file;
  if (settings.has("version") && settings.integer("version") != 1)
    faults.emplace_back(settings.where("version"),
                        fmt::format("\"version\": found {}, this sluice reads version 1", settings.integer("version")));
  read_server(settings.table("server"), made, faults);
  read_state(settings.table("state"), made, faults);
  made.concurrent_runs = static_cast<int>(settings.table("limits").integer("concurrent_runs"));
  made.memory = settings.table("limits").size("memory");
  made.retention = settings.duration("retention");
  read_mask_key(settings.table("mask_key"), made, faults);
  std::vector<std::string> faulty;
  read_sources(yaml.find("sources"), kinds, made, faulty, faults);
  read_sinks(yaml.find("sinks"), kinds, made, faulty, faults);
  read_pipelines(yaml, faulty, settings.text("timezone"), made, faults);
  if (!faults.empty()) return {};
  warn_of_unused(made);
  sort_faults(made.warnings);
  return made;
}

void check_references_of(const Settings::Node& node, Faults& found) {
  if (!node.reference.literal()) {
    try {
      node.reference.resolve();
      if (const auto doubt = node.reference.doubt()) found.emplace_back(node.where, *doubt);
    } catch (const Error& error) {
      found.emplace_back(node.where, error.what());
    }
  }
  for (const auto& item : node.items) check_references_of(*item, found);
  for (const auto& [name, value] : node.members) check_references_of(*value, found);
}

void check_references_of(const Settings& settings, Faults& found) {
  if (settings.node() != nullptr) check_references_of(*settings.node(), found);
}

// A URL that stands elsewhere; what does not resolve has been said.
void check_url(const SinkSettings& sink, Faults& found) {
  const auto url = sink.settings.reference("url");
  if (url.literal()) return;
  try {
    if (const auto why = sink.kind->url_fault(url.resolve().reveal()))
      found.emplace_back(sink.settings.where("url"), fmt::format("\"url\" ({}): {}", url.describe(), *why));
  } catch (const Error&) {
  }
}

void check_state_url(const Configuration& configuration, Faults& found) {
  try {
    state_path(configuration);
  } catch (const Error& error) {
    found.emplace_back(configuration.state_url_where, error.what());
  }
}

void check_mask_key(const Configuration& configuration, Faults& found) {
  if (configuration.mask_key == nullptr) return;
  try {
    MaskKey(*configuration.mask_key).load();
    if (const auto doubt = configuration.mask_key->secret().doubt())
      found.emplace_back(configuration.mask_key_where, *doubt);
  } catch (const Error& error) {
    found.emplace_back(configuration.mask_key_where, error.what());
  }
}

}  // namespace

const SourceSettings* Configuration::source(std::string_view name) const {
  return named(sources, name);
}
const SinkSettings* Configuration::sink(std::string_view name) const {
  return named(sinks, name);
}
const Pipeline* Configuration::pipeline(std::string_view name) const {
  return named(pipelines, name);
}

std::string configuration_path(const std::optional<std::string>& given) {
  if (given) return *given;
  std::error_code ignored;
  return std::filesystem::exists("sluice.yaml", ignored) ? "sluice.yaml" : "/etc/sluice/sluice.yaml";
}

std::optional<Configuration> read_configuration(std::string_view yaml, const std::string& file, const Kinds& kinds,
                                                Faults& faults) {
  Faults found;
  const auto tree = parse_yaml(yaml, file, found);
  std::optional<Configuration> made;
  if (tree.where.line != 0) made = interpret(tree, file, kinds, found);
  sort_faults(found);
  faults.insert(faults.end(), found.begin(), found.end());
  if (!found.empty()) made.reset();
  return made;
}

std::optional<Configuration> load_configuration(const std::string& path, const Kinds& kinds, Faults& faults) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    faults.emplace_back(Where{path, 0, 0}, fmt::format("the configuration cannot be read: {}", std::strerror(errno)));
    return {};
  }
  if (!S_ISREG(info.st_mode)) {
    faults.emplace_back(Where{path, 0, 0}, "the configuration is not a regular file");
    return {};
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    faults.emplace_back(Where{path, 0, 0}, fmt::format("the configuration cannot be read: {}", std::strerror(errno)));
    return {};
  }
  // One byte more than is allowed, so that a file that is too large is seen to be.
  std::string text((1 << 20) + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  auto made = read_configuration(text, path, kinds, faults);
  if (made && (info.st_mode & S_IWOTH) != 0)
    made->warnings.emplace_back(Where{path, 0, 0},
                                "every user of this machine can change this file: chmod o-w " + path);
  return made;
}

Faults check_references(const Configuration& configuration) {
  Faults found;
  check_references_of(configuration.server.settings, found);
  for (const auto& source : configuration.sources) check_references_of(source.settings, found);
  for (const auto& sink : configuration.sinks) {
    check_references_of(sink.settings, found);
    check_url(sink, found);
  }
  check_mask_key(configuration, found);
  check_state_url(configuration, found);
  for (const auto& pipeline : configuration.pipelines) {
    check_references_of(pipeline.settings, found);
    for (const auto& stream : pipeline.streams) check_references_of(stream.settings, found);
  }
  sort_faults(found);
  return found;
}

ServerOptions server_options(const Configuration& configuration) {
  const auto& server = configuration.server;
  ServerOptions options;
  options.address = server.address;
  options.port = server.port;
  if (server.settings.has("tls")) {
    options.tls_certificate = server.settings.table("tls").text("certificate");
    options.tls_key = server.settings.table("tls").text("key");
  }
  for (const auto& token : server.settings.tables("tokens"))
    options.tokens.push_back({token.text("name"), *parse_role(token.text("role")), token.secret("token")});
  return options;
}

std::string state_path(const Configuration& configuration) {
  if (!configuration.state_url) return default_state_path();
  const auto url = configuration.state_url->resolve();
  if (!names_a_file(url.reveal()))
    throw Error(Remedy::give_up, configuration.state_url->describe() + ": state.url must be sqlite:///PATH");
  return url.reveal().substr(sqlite_scheme.size());
}

bool same_source(const Configuration& before, const Configuration& after, std::string_view name) {
  const auto *a = before.source(name), *b = after.source(name);
  return a != nullptr && b != nullptr && a->settings.same_as(b->settings);
}

bool same_sink(const Configuration& before, const Configuration& after, std::string_view name) {
  const auto *a = before.sink(name), *b = after.sink(name);
  return a != nullptr && b != nullptr && a->settings.same_as(b->settings);
}

bool same_pipeline(const Configuration& before, const Configuration& after, std::string_view name) {
  const auto *a = before.pipeline(name), *b = after.pipeline(name);
  if (a == nullptr || b == nullptr || !a->settings.same_as(b->settings)) return false;
  const bool same_key = before.mask_key == nullptr || after.mask_key == nullptr
                            ? before.mask_key == after.mask_key
                            : before.mask_key->same_as(*after.mask_key);
  const auto guarded = [](const StreamPlan& stream) { return stream.spec.guard != nullptr; };
  if (!same_key && std::any_of(b->streams.begin(), b->streams.end(), guarded)) return false;
  // The zone may come from the file's top level.
  if (a->schedule.zone_name != b->schedule.zone_name) return false;
  const auto same_stream = [](const StreamPlan& x, const StreamPlan& y) {
    return x.name == y.name && x.settings.same_as(y.settings);
  };
  return std::equal(a->streams.begin(), a->streams.end(), b->streams.begin(), b->streams.end(), same_stream) &&
         same_source(before, after, a->source) && same_sink(before, after, a->sink);
}

}  // namespace sluice
