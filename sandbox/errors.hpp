#pragma once
#include <string>

namespace sluice::sandbox {

// A refusal, in the shape of Meta's error envelope.
struct GraphError {
  int status = 400;
  int code = 100;
  int subcode = 0;
  std::string message;
  std::string user_title;
  std::string user_message;
  bool transient = false;
  bool bare = false;  // only message and code, as "reduce the amount of data" comes

  std::string to_json(std::string_view trace) const;
};

GraphError bad_parameter(const std::string& text);
GraphError no_such_object(const std::string& id);
GraphError unsupported_version();
GraphError account_throttled(int code);
GraphError app_throttled();
GraphError reduce_data();
GraphError too_many_rows();
GraphError results_not_ready();
GraphError permission_missing();

}  // namespace sluice::sandbox
