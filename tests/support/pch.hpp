#pragma once
// Precompiled for every test.
#include <catch2/catch.hpp>

#include "core/pch.hpp"
