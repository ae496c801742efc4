#!/bin/bash
# CANN's libraries are found only in an environment that sourced it. Its place changed with 8.5.
for file in /usr/local/Ascend/cann/set_env.sh /usr/local/Ascend/ascend-toolkit/set_env.sh; do
  if [ -f "$file" ]; then
    source "$file"
    break
  fi
done
# The command becomes process 1 and hears `docker stop`; a harness needs no other init above it.
exec "$@"
