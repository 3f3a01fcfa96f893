#pragma once
#include "core/retry.hpp"
