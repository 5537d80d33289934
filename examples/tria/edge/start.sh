#!/bin/sh
# nginx reads no environment: what it says becomes configuration here, then nginx takes the place of this process.
#   EDGE_TRUSTED_PROXIES  addresses and networks, separated by commas, whose X-Forwarded-* headers are believed
#   EDGE_BACKENDS         hosts and ports, separated by commas, instead of the backend: the edges that a balancer spreads over
#   EDGE_TLS_PORT         when set: TLS with the certificate in /etc/nginx/tls, published on this port
set -eu
proxies=$(printf '%s' "${EDGE_TRUSTED_PROXIES:-}" | tr ',' ' ')
case ${EDGE_TLS_PORT:-443} in
  443) https_port= ;;
  *) https_port=:$EDGE_TLS_PORT ;;
esac
mkdir -p /tmp/edge
{
  echo "map '' \$https_port { default '$https_port'; }"
  echo "geo \$realip_remote_addr \$trusted_proxy { default 0;"
  for proxy in $proxies; do echo "  $proxy 1;"; done
  echo "}"
  for proxy in $proxies; do echo "set_real_ip_from $proxy;"; done
} > /tmp/edge/http.conf
echo "${EDGE_TLS_PORT:+include /etc/nginx/tls.conf;}" > /tmp/edge/server.conf
# One that failed three times in ten seconds is left alone for ten; while all have failed, the answer is 502.
if [ -n "${EDGE_BACKENDS:-}" ]; then
  echo "upstream backends { zone backends 64k;"
  for backend in $(printf '%s' "$EDGE_BACKENDS" | tr ',' ' '); do
    echo "  server $backend max_fails=3 fail_timeout=10s;"
  done
  echo "}"
  echo "map '' \$backend { default backends; }"
else
  echo "include /etc/nginx/upstream.conf;"
fi > /tmp/edge/upstream.conf
exec nginx -g 'daemon off;'
