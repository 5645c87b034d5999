"""The ASGI application: routes, and what surrounds them."""

from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp

from gateway.app_state import AppState
from gateway.middleware import DOCS_PATH, BodyLimit, RequestEdge
from gateway.openapi import install_openapi
from gateway.problem_details import install_problem_details
from gateway.refresh_cookie import CSRF_HEADER
from gateway.routes import (
    audit,
    auth,
    command_types,
    commands,
    export,
    fault_memory,
    health,
    profile,
    summary,
    users,
    vehicle_identities,
    vehicle_locks,
    vehicles,
    websockets,
)
from gateway.shortcut import Shortcut
from gateway.web_pages import WebPages

TITLE = "sovd-webapp"
DESCRIPTION = (
    "Send diagnostic commands to vehicles and watch their answers live. Every error is RFC 9457 problem details with a "
    "stable `code`."
)


def create_app(state: AppState) -> FastAPI:
    """The routes with their errors and documentation."""
    app = FastAPI(
        title=TITLE,
        version=_version(),
        description=DESCRIPTION + websockets.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        # Spans, metrics and logs are made in middleware.py, thinner and with the names all services share.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        redirect_slashes=False,
    )
    app.state.gateway = state
    install_problem_details(app)
    install_openapi(app)
    for routes in (
        export,
        commands,
        auth,
        profile,
        users,
        vehicles,
        vehicle_locks,
        vehicle_identities,
        fault_memory,
        summary,
        command_types,
        audit,
        health,
    ):
        app.include_router(routes.router)
    app.add_api_route(DOCS_PATH, _docs, include_in_schema=False)
    return app


def create_asgi(state: AppState) -> ASGIApp:
    """What the server serves: the application and its surroundings."""
    settings = state.settings
    app = create_app(state)
    busiest = Shortcut(app, {("POST", "/api/v1/commands"): commands.submit_command})
    asgi: ASGIApp = BodyLimit(busiest, settings.max_body_bytes)
    if settings.cors_origins:
        asgi = CORSMiddleware(
            asgi,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", CSRF_HEADER, "traceparent"],
            # For the cookie of the refresh token; never for everybody.
            allow_credentials="*" not in settings.cors_origins,
            expose_headers=["Location", "Retry-After", export.TRUNCATED_HEADER],
            max_age=600,
        )
    if settings.web_directory is not None:
        asgi = WebPages(asgi, settings.web_directory)
    return websockets.WebSockets(app, RequestEdge(asgi))


async def _docs() -> HTMLResponse:
    return get_swagger_ui_html(openapi_url="/openapi.json", title=TITLE, swagger_favicon_url="data:,")


def _version() -> str:
    try:
        return version("sovd-webapp")
    except PackageNotFoundError:
        return "0"
