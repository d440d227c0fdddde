# The build's vocabulary: bailey_module, bailey_program, bailey_test, bailey_script_test, bailey_bpf.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
option(BAILEY_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json system)
find_package(GTest REQUIRED)
find_package(OpenSSL REQUIRED)
pkg_check_modules(seccomp REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(fuse3 REQUIRED IMPORTED_TARGET fuse3)
pkg_check_modules(libbpf REQUIRED IMPORTED_TARGET libbpf)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3)
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(bailey_options INTERFACE)
target_include_directories(bailey_options INTERFACE ${CMAKE_SOURCE_DIR})
target_include_directories(bailey_options SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/generated)
target_compile_options(bailey_options INTERFACE
  -Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual -Werror
  -fstack-protector-strong
  # At -O2 GCC 12 follows inlined copies of std::optional and std::vector along paths that cannot
  # be. The dev and asan presets keep these warnings, as errors.
  $<$<CONFIG:Release>:-Wno-maybe-uninitialized;-Wno-array-bounds;-Wno-stringop-overread>)
target_compile_definitions(bailey_options INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_link_options(bailey_options INTERFACE -Wl,-z,relro,-z,now)
if(BAILEY_SANITIZE)
  target_compile_options(bailey_options INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(bailey_options INTERFACE -fsanitize=address,undefined)
  target_compile_definitions(bailey_options INTERFACE BAILEY_SANITIZE=1)
endif()

option(BAILEY_FUZZ "Link the fuzz targets with libFuzzer (clang), and instrument everything" OFF)
if(BAILEY_FUZZ)
  target_compile_options(bailey_options INTERFACE
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(bailey_options INTERFACE -fsanitize=address,undefined)
  target_compile_definitions(bailey_options INTERFACE BAILEY_SANITIZE=1)
endif()

# bailey_module(name SOURCES … DEPENDS …): the library `name`.
function(bailey_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC bailey_options ${ARG_DEPENDS})
endfunction()

# bailey_program(name SOURCES … DEPENDS …): an executable in bin/.
function(bailey_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE bailey_options ${ARG_DEPENDS})
endfunction()

# GoogleTest's skips count as passed for CTest; scripts/test and CI do not let them.
option(BAILEY_FAIL_ON_SKIP "A test that skips fails" OFF)
set(BAILEY_SKIP_LINE "\\[  SKIPPED \\]")

# bailey_test(name LABELS unit|ns|fuse|e2e SOURCES … DEPENDS … [NEEDS programs…]): one GoogleTest
# program, one CTest per program (start-up is dear beside namespaces and mounts).
enable_testing()
function(bailey_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LABELS;SOURCES;DEPENDS;NEEDS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE bailey_options ${ARG_DEPENDS} GTest::gmock_main)
  if(ARG_NEEDS)
    add_dependencies(${name} ${ARG_NEEDS})
  endif()
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "BAILEY_BIN=${CMAKE_BINARY_DIR}/bin")
  if(BAILEY_FAIL_ON_SKIP)
    set_tests_properties(${name} PROPERTIES FAIL_REGULAR_EXPRESSION "${BAILEY_SKIP_LINE}")
  endif()
endfunction()

# bailey_script_test(name LABELS … COMMAND … [TIMEOUT s]): a script under CTest; it finds the
# programs in $BAILEY_BIN.
function(bailey_script_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LABELS;COMMAND" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${ARG_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "BAILEY_BIN=${CMAKE_BINARY_DIR}/bin")
endfunction()

# bailey_fuzz(name RUNS n SOURCES … DEPENDS …): the fuzz target tests/fuzz/name_fuzz.cc, as
# fuzz_name. With libFuzzer where BAILEY_FUZZ is on (tests/fuzz/run); in every other build with a
# driver of our own, which CTest has run its seeds and n inputs made of them.
set(BAILEY_FUZZ_SEEDS ${CMAKE_BINARY_DIR}/fuzz-seeds)
add_custom_command(OUTPUT ${BAILEY_FUZZ_SEEDS}/made
  COMMAND ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds ${BAILEY_FUZZ_SEEDS}
  DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds VERBATIM)
add_custom_target(fuzz_seeds DEPENDS ${BAILEY_FUZZ_SEEDS}/made)
add_custom_target(fuzz)
if(NOT BAILEY_FUZZ)
  add_library(fuzz_driver OBJECT tests/fuzz/driver.cc)
  target_link_libraries(fuzz_driver PRIVATE bailey_options)
endif()
function(bailey_fuzz name)
  cmake_parse_arguments(ARG "" "RUNS" "SOURCES;DEPENDS" ${ARGN})
  add_executable(fuzz_${name} tests/fuzz/${name}_fuzz.cc ${ARG_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE bailey_options ${ARG_DEPENDS})
  if(BAILEY_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_link_libraries(fuzz_${name} PRIVATE fuzz_driver)
  endif()
  add_dependencies(fuzz_${name} fuzz_seeds)
  add_dependencies(fuzz fuzz_${name})
  add_test(NAME fuzz_${name} COMMAND fuzz_${name} -runs=${ARG_RUNS} ${BAILEY_FUZZ_SEEDS}/${name})
  set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()

# bailey_bpf(target source.bpf.c): <target>.skel.h in the generated include directory, under the
# folder of the source.
find_program(BPF_CLANG NAMES clang-14 clang REQUIRED)
find_program(BPFTOOL bpftool PATHS /usr/sbin /sbin REQUIRED)
function(bailey_bpf target source)
  get_filename_component(folder ${source} DIRECTORY)
  set(out ${CMAKE_BINARY_DIR}/generated/${folder})
  file(MAKE_DIRECTORY ${out})
  add_custom_command(OUTPUT ${out}/${target}.skel.h
    COMMAND ${BPF_CLANG} -g -O2 -target bpf -mcpu=v3 -I${CMAKE_SOURCE_DIR}
            -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -Wall -Werror -MD -MF ${out}/${target}.d
            -MT ${out}/${target}.skel.h -c ${CMAKE_SOURCE_DIR}/${source} -o ${out}/${target}.bpf.o
    COMMAND ${BPFTOOL} gen skeleton ${out}/${target}.bpf.o name ${target} > ${out}/${target}.skel.h
    DEPENDS ${CMAKE_SOURCE_DIR}/${source} DEPFILE ${out}/${target}.d VERBATIM)
  add_custom_target(${target}_skeleton DEPENDS ${out}/${target}.skel.h)
endfunction()
