#pragma once
#include <string>
#include <vector>

#include "core/connector.hpp"
#include "net/http.hpp"

namespace sluice {

// What a server tells before anybody says who they are: a clock that is off, a certificate that is about to end. Asks
// for the URL without a credential; whatever is answered will do. Throws HttpError where nothing is.
task<std::vector<Finding>> look_at_server(asio::any_io_executor executor, Clock& clock, HttpOptions options,
                                          std::string url);

}  // namespace sluice
