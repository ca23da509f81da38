# A consumer's own warnings must not fire inside confman's headers, and confman must not impose flags on a
# consumer.
function(confman_strict_consumer target library)
  target_link_libraries(${target} PRIVATE ${library})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
  get_target_property(options ${library} INTERFACE_COMPILE_OPTIONS)
  if(options)
    message(FATAL_ERROR "${library} imposes compile options on its consumers: ${options}")
  endif()
endfunction()
