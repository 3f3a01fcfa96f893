# What an installed sluice consists of, and the Debian package of it: `deploy/package.sh` after a build.
install(TARGETS sluice sluice-sandbox RUNTIME DESTINATION bin)  # `sluice demo` starts the sandbox beside it
install(FILES deploy/systemd/sluice.service DESTINATION lib/systemd/system)
install(FILES deploy/package/sluice.yaml DESTINATION /etc/sluice)
install(DIRECTORY DESTINATION /etc/sluice/credentials DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
# In the folders of the sources, so that links between the pages lead somewhere.
install(DIRECTORY docs examples DESTINATION share/doc/sluice)
install(DIRECTORY deploy/prometheus deploy/grafana deploy/loadbalancer DESTINATION share/doc/sluice/deploy)
install(FILES README.md SECURITY.md deploy/package/copyright DESTINATION share/doc/sluice)

# The manual and the completion say what the program itself says of its command line.
install(CODE "execute_process(COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/deploy/package/command_line.py
                              $<TARGET_FILE:sluice> ${CMAKE_CURRENT_BINARY_DIR} COMMAND_ERROR_IS_FATAL ANY)")
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sluice.1.gz DESTINATION share/man/man1)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sluice.bash DESTINATION share/bash-completion/completions RENAME sluice)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
                                                WORLD_READ WORLD_EXECUTE)
set(CPACK_PACKAGE_CONTACT "sluice maintainers <sluice@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "loads advertising and other sources into a database, on a schedule")
set(CPACK_PACKAGE_DESCRIPTION "One daemon that reads advertising and analytics APIs within their rate limits and publishes
every window of data into PostgreSQL or SQLite whole, once, together with its progress.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "ca-certificates, tzdata")  # what no linker knows: trust, and zones
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
foreach(part conffiles postinst prerm postrm)
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_SOURCE_DIR}/deploy/package/${part})
endforeach()
include(CPack)
