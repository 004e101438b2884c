#!/bin/sh
# Stands in for HAProxy's binary: Ray writes its configuration, and offers no setting for three things that are put right
# here before HAProxy reads it. Statistics are bound to loopback, not to every interface. The error pages that turn 502,
# 503 and 504 into 500 go, since gRPC reads a 500 as UNKNOWN and the others as UNAVAILABLE. Nothing is logged per call.
previous=
for argument in "$@"; do
  if [ "$previous" = "-f" ] && [ -w "$argument" ]; then
    sed -i -e 's/^\( *bind\) \*\{0,1\}:\([0-9]*\)$/\1 127.0.0.1:\2/' \
      -e '/^ *errorfile 50[234] /d' -e '/^ *log global$/d' -e '/^ *option httplog$/d' "$argument"
  fi
  previous=$argument
done
exec "$PACKLINE_HAPROXY" "$@"
