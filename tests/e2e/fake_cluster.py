"""What scripts/deployment_test.sh sees of a cluster, as a `kubectl` and a `helm`.

There is a release that does as it should, whose gateway and web are the one process at TARGET, an address. What the two
were told is kept in the directory FAKE.

    python -m tests.e2e.fake_cluster kubectl get --raw /version
"""

import asyncio
import base64
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import yaml

FAKE = Path(os.environ["FAKE"])
JOBS = ("gateway", "command-service", "vehicle-connector")
POD = {
    "metadata": {"name": "gateway-1"},
    "status": {
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:08Z"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:20Z"},
        ]
    },
}
EVENTS = """2026-01-01T00:00:00Z SuccessfulCreate Job/sovd-webapp-migrations-1
2026-01-01T00:00:07Z Completed Job/sovd-webapp-migrations-1
2026-01-01T00:00:08Z Scheduled Pod/sovd-webapp-gateway-1"""


def kubectl(said: str) -> str:
    """Its answer; the first of these that is in what it is asked for."""
    answers = {
        "--raw /version": json.dumps({"gitVersion": "v1.33.1"}),
        "/proxy/api/v1/query": json.dumps({"data": {"result": [_target(job) for job in JOBS]}}),
        "get events": EVENTS,
        "get pods --selector app.kubernetes.io/instance=sovd-webapp --output json": json.dumps({"items": [POD]}),
        "get pods": "2026-01-01T00:00:08Z 2026-01-01T00:00:20Z",
        "readyReplicas": "5" if (FAKE / "load").exists() else "3",
        "containers[0].image": "registry.example.com/sovd-webapp/gateway:1",
        "get deployment": "deployment.apps/sovd-webapp-gateway",
        "get service --all-namespaces": "sovd/services/sovd-webapp-prometheus:9090",
        "get secret": base64.b64encode(b"the-old-secret").decode(),
        "get nodes": "node-1 Ready",
        "get service": "sovd-webapp-grafana",
        "get hpa": "sovd-webapp-gateway",
        "rollout": "rolled out",
        "delete deployment load": "deleted",
    }
    return next((answer for part, answer in answers.items() if part in said), "") or sys.exit(f"kubectl {said}?")


def _target(job: str) -> dict[str, object]:
    return {"metric": {"job": job}, "value": [0, "0" if job == os.environ.get("DOWN") else "1"]}


def take(said: str) -> None:
    """What comes on standard input has to be what a cluster understands."""
    given = yaml.safe_load(sys.stdin.read())
    if "apply" in said:
        assert given["kind"] == "Deployment"
        (FAKE / "load").touch()
    else:
        with (FAKE / "secrets").open("a") as secrets:
            secrets.write(json.dumps(given["stringData"]) + "\n")


async def forward(port: int) -> None:
    target = urlsplit(os.environ["TARGET"])

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer), return_exceptions=True)

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


class Grafana(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([{"title": title} for title in ("Commands", "Operations", "Vehicles")]).encode())


def helm(said: str) -> str:
    with (FAKE / "helm.calls").open("a") as calls:
        calls.write(said + "\n")
    return json.dumps([{"chart": "sovd-webapp-1"}]) if said.startswith("list") else "v3.19.5"


def main(tool: str, *arguments: str) -> None:
    said = " ".join(arguments).removeprefix("--namespace sovd ")
    if tool == "helm":
        print(helm(said))
    elif "port-forward" in said:
        port = int(arguments[-1].partition(":")[0])
        if "grafana" in said:
            HTTPServer(("127.0.0.1", port), Grafana).serve_forever()
        asyncio.run(forward(port))
    elif "apply" in said or "patch secret" in said:
        take(said)
    else:
        print(kubectl(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
