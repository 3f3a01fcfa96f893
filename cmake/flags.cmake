# Warnings, hardening and sanitizers. Every hardening flag is probed: compilers differ in what they know.
include(CheckCXXCompilerFlag)
add_library(sluice_flags INTERFACE)
target_compile_options(sluice_flags INTERFACE -Wall -Wextra -Wconversion -Werror -fno-strict-aliasing)
# Boost and the compiler's own coroutine code set off false alarms of these at -O1 and above.
target_compile_options(sluice_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-mismatched-new-delete>)

target_compile_options(sluice_flags INTERFACE -fPIE)
target_link_options(sluice_flags INTERFACE -pie)

# GCC 12 raises false alarms of these in inlined standard library code at -O2 (PR105329, PR105651 and their kin).
target_compile_options(sluice_flags INTERFACE $<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-stringop-overread
                       -Wno-stringop-overflow -Wno-array-bounds -Wno-restrict>)

# Of files compiled as one, it takes all but the first for headers, in which unnamed namespaces would be faults.
if(CMAKE_UNITY_BUILD)
  target_compile_options(sluice_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()

set(hardening -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fno-delete-null-pointer-checks
    -fno-strict-overflow -ftrivial-auto-var-init=zero -fstrict-flex-arrays=3 -Wformat=2 -Wimplicit-fallthrough)
foreach(flag IN LISTS hardening)
  string(MAKE_C_IDENTIFIER "HAS${flag}" has)
  check_cxx_compiler_flag("-Werror ${flag}" ${has})
  if(${has})
    target_compile_options(sluice_flags INTERFACE ${flag})
  endif()
endforeach()
if(SLUICE_SANITIZE)
  # Clang's, which compiles them in less than half of g++'s time and has libFuzzer. Warnings are g++'s business.
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    message(FATAL_ERROR "a sanitized build needs clang: -DCMAKE_CXX_COMPILER=clang++-14")
  endif()
  # -fsanitize=function breaks coroutines; null, vptr and object-size make up half of what there is to compile, and
  # AddressSanitizer sees most of it. Long runs of the fuzz targets follow comparisons too, the tests' build does not.
  target_compile_options(sluice_flags INTERFACE -w -fsanitize=address,undefined
                         -fno-sanitize=function,null,vptr,object-size -fno-sanitize-recover=undefined -fno-omit-frame-pointer
                         $<IF:$<CONFIG:Fuzz>,-fsanitize=fuzzer-no-link,-fsanitize-coverage=inline-8bit-counters$<COMMA>pc-table>)
  # Debian 12's clang knows coroutines as the standard library has them, but does not say so.
  target_compile_definitions(sluice_flags INTERFACE __cpp_impl_coroutine=201902L _GLIBCXX_ASSERTIONS)
  # Debian's usual linker takes five times as long with the sanitizers' large programs.
  target_link_options(sluice_flags INTERFACE -fsanitize=address,undefined -fuse-ld=lld)
else()
  target_compile_options(sluice_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  target_compile_definitions(sluice_flags INTERFACE _GLIBCXX_ASSERTIONS)
endif()
target_link_options(sluice_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed)

# No path of the machine in what is built: two clones of one commit give the same binary, and share ccache's results.
target_compile_options(sluice_flags INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)

find_program(CCACHE ccache)
if(CCACHE)
  # The precompiled header is part of what ccache compares; without these it would never hit.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
  target_compile_options(sluice_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endif()
