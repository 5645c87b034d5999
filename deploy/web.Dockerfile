# The web interface, served by nginx:
#
#   docker build -f deploy/web.Dockerfile -t sovd-webapp/web .
#
# VITE_API_BASE_URL is where its API is, for a page that is served elsewhere; empty: at the page's own address. Optional
# build secrets: npmrc (an .npmrc) and ca_certificates (PEM).
ARG NODE_IMAGE=node:20-bookworm-slim
ARG NGINX_IMAGE=nginxinc/nginx-unprivileged:stable-alpine-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY services/web/package.json services/web/package-lock.json ./
RUN --mount=type=secret,id=npmrc --mount=type=secret,id=ca_certificates \
    if [ -s /run/secrets/npmrc ]; then export NPM_CONFIG_USERCONFIG=/run/secrets/npmrc; fi; \
    if [ -s /run/secrets/ca_certificates ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca_certificates; fi; \
    npm ci --no-fund --no-audit --loglevel=error
COPY services/web/ ./
ARG VITE_API_BASE_URL=
ARG SOURCE_DATE_EPOCH=1700000000
RUN npm run build
COPY deploy/web/ /site/etc/sovd-web/
# A whole tree: of a directory that a copy has to make, nobody says when it was made.
RUN mkdir -p /site/usr/share && cp -r dist /site/usr/share/sovd-web && \
    find /site -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

# With Vite's own server, for `--target development`: files are synchronised into a running container.
FROM build AS development
ENV HOME=/tmp
RUN chown -R 10001:10001 /build
USER 10001:10001
CMD ["npm", "run", "dev", "--", "--host", "0.0.0.0", "--port", "8080"]

FROM ${NGINX_IMAGE} AS runtime
ARG VITE_API_BASE_URL=
# Where pages may connect to besides their own address.
ENV API_BASE_URL=${VITE_API_BASE_URL}
COPY --from=build /site/ /
USER 10001:10001
EXPOSE 8080
# Requests that are under way are finished, as long as nginx.conf says.
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/etc/sovd-web/start.sh"]
CMD []
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/etc/sovd-web/health.sh"]
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG NGINX_IMAGE
LABEL org.opencontainers.image.title="sovd-webapp web" \
      org.opencontainers.image.description="Remote vehicle diagnostics: the web interface" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${NGINX_IMAGE}"
