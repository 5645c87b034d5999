# A small Debian with systemd on which the agent was installed as docs/vehicles.md has it: install.sh is taken from there.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends systemd python3-venv > /dev/null && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /checkout
COPY . .
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_certificates \
    if [ -s /run/secrets/ca_certificates ]; then export PIP_CERT=/run/secrets/ca_certificates; fi; \
    PIP_NO_CACHE_DIR=1 sh -eux install.sh
# What a machine of its own would set up.
RUN systemctl mask systemd-sysctl systemd-udevd systemd-logind getty.target && systemctl set-default multi-user.target
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
