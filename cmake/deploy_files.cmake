# haechi_deploy_files(TARGET FILE...): files of deploy/ stand inside the program, so that what
# `haechi drill` starts is what operators install, wherever the program runs.
function(haechi_deploy_files target)
  set(entries "")
  foreach(name ${ARGN})
    set(path ${CMAKE_SOURCE_DIR}/deploy/${name})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(READ ${path} text)
    string(APPEND entries "    {\"${name}\", R\"deploy_file(${text})deploy_file\"},\n")
  endforeach()
  set(out ${CMAKE_BINARY_DIR}/generated/deploy_files.cpp)
  file(CONFIGURE OUTPUT ${out}.new @ONLY CONTENT [[
#include "drill/templates.hpp"

namespace haechi::drill {

std::span<const DeployFile> deploy_files() {
  static constexpr DeployFile kFiles[] = {
]])
  file(APPEND ${out}.new "${entries}  };\n  return kFiles;\n}\n\n}  // namespace haechi::drill\n")
  file(COPY_FILE ${out}.new ${out} ONLY_IF_DIFFERENT)
  target_sources(${target} PRIVATE ${out})
endfunction()
