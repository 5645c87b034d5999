# Debian's PostgreSQL, Redis, RabbitMQ and Prometheus in one image, for engines that cannot pull the ones of the compose file.
ARG BASE
FROM ${BASE}
# Nothing that is installed starts.
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && \
    apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends postgresql redis-server rabbitmq-server \
      prometheus wget > /dev/null && \
    rm -rf /var/lib/apt/lists/* && install -d -o nobody /prometheus
COPY start_server.sh /usr/local/bin/start_server
ENTRYPOINT ["start_server"]
