"""What can be switched: the load balancer, where secrets come from, how the connector scales, TLS, the connector."""

import re

from tests.deploy.chart import LOCAL, PRODUCTION, Object, Rendered, helm, render

NGINX = (
    'ingress.controller="nginx"',
    'ingress.nginx.tlsSecretName="sovd-tls"',
    'ingress.nginx.clusterIssuer="letsencrypt"',
)


def ingress(chart: Rendered) -> tuple[dict[str, str], Object]:
    (found,) = chart.of_kind("Ingress")
    return found["metadata"]["annotations"], found["spec"]


def test_alb(production: Rendered) -> None:
    annotations, spec = ingress(production)
    alb = {name.partition("/")[2]: value for name, value in annotations.items()}
    assert spec["ingressClassName"] == "alb"
    assert "tls" not in spec
    assert alb["certificate-arn"].startswith("arn:aws:acm:")
    assert alb["listen-ports"] == '[{"HTTP": 80}, {"HTTPS": 443}]'
    assert alb["ssl-redirect"] == "443"
    assert alb["target-type"] == "ip"
    assert "idle_timeout.timeout_seconds=3600" in alb["load-balancer-attributes"].split(",")
    # A pod that goes has time to tell its viewers.
    assert "deregistration_delay.timeout_seconds=60" in alb["target-group-attributes"].split(",")
    for service, path in (("sovd-webapp-gateway", "/health/ready"), ("sovd-webapp-web", "/healthz")):
        of_service = production.get("Service", service)["metadata"]["annotations"]
        assert of_service == {"alb.ingress.kubernetes.io/healthcheck-path": path}


def test_nginx() -> None:
    annotations, spec = ingress(render(PRODUCTION, *NGINX))
    assert not [name for name in annotations if name.startswith("alb.")]
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "3600"
    assert annotations["nginx.ingress.kubernetes.io/proxy-send-timeout"] == "3600"
    assert annotations["nginx.ingress.kubernetes.io/force-ssl-redirect"] == "true"
    assert annotations["cert-manager.io/cluster-issuer"] == "letsencrypt"
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [{"hosts": ["sovd.example.com"], "secretName": "sovd-tls"}]


def test_nginx_is_let_in() -> None:
    policy = render(PRODUCTION, *NGINX).get("NetworkPolicy", "sovd-webapp-gateway")["spec"]["ingress"][0]
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}} in policy["from"]


def test_an_ingress_needs_its_certificate() -> None:
    for settings, missing in (
        (("ingress.enabled=true", "ingress.host=sovd.example.com"), "ingress.alb.certificateArn"),
        (("ingress.enabled=true", "ingress.host=a.example", "ingress.controller=nginx"), "ingress.nginx.tlsSecretName"),
        (("ingress.enabled=true", "ingress.controller=nginx"), "ingress.host"),
    ):
        answer = helm("template", (), *settings)
        assert answer.returncode != 0
        assert missing in answer.stderr


def test_paths_go_to_the_gateway_and_the_rest_to_the_web() -> None:
    for chart in (render(PRODUCTION), render(PRODUCTION, *NGINX)):
        _, spec = ingress(chart)
        (rule,) = spec["rules"]
        to = {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
        assert to.pop("/") == "sovd-webapp-web"
        assert to == dict.fromkeys(("/api", "/ws", "/health", "/docs", "/openapi.json"), "sovd-webapp-gateway")


def test_without_a_load_balancer_the_web_passes_on_what_is_the_gateways(local: Rendered, production: Rendered) -> None:
    environment = local.workload("web").environment(local)
    assert environment == {"GATEWAY_URL": "http://sovd-webapp-gateway.sovd.svc.cluster.local:8000"}
    assert not production.workload("web").environment(production)


def test_a_page_that_is_served_elsewhere_is_allowed() -> None:
    chart = render(PRODUCTION, 'gateway.corsOrigins=["https://app.example.com", "https://b.example.com"]')
    origins = chart.workload("gateway").environment(chart)["CORS_ORIGINS"]
    assert origins == "https://app.example.com,https://b.example.com"


def test_the_gateway_believes_its_load_balancer(production: Rendered) -> None:
    assert production.workload("gateway").environment(production)["TRUSTED_PROXIES"] == "10.0.0.0/20"


def test_secrets_come_from_aws(production: Rendered) -> None:
    store = production.get("SecretStore", "aws-secrets-manager")["spec"]["provider"]["aws"]
    assert store["service"] == "SecretsManager"
    assert store["region"] == "eu-central-1"
    account = production.get("ServiceAccount", store["auth"]["jwt"]["serviceAccountRef"]["name"])
    role = account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert role == "arn:aws:iam::123456789012:role/sovd-production-secrets"
    external = production.get("ExternalSecret", "sovd-webapp-external-secrets")["spec"]
    assert external["refreshInterval"] == "1h"
    assert external["secretStoreRef"] == {"kind": "SecretStore", "name": "aws-secrets-manager"}
    assert external["target"]["name"] == "sovd-webapp-secrets"
    assert {each["remoteRef"]["key"] for each in external["data"]} == {
        f"sovd/production/{name}" for name in ("database", "jwt", "redis", "rabbitmq")
    }
    named = {each["secretKey"] for each in external["data"]}
    for text in external["target"]["template"]["data"].values():
        if "{{" in text:
            assert text.partition("{{ .")[2].split(" ")[0] in named


def test_an_environment_has_secrets_of_its_own() -> None:
    external = render(PRODUCTION, 'config.environment="staging"').get("ExternalSecret", "sovd-webapp-external-secrets")
    assert all(each["remoteRef"]["key"].startswith("sovd/staging/") for each in external["spec"]["data"])


def test_nothing_of_the_secret_is_in_the_release(production: Rendered) -> None:
    assert not production.of_kind("Secret")


def test_two_makers_of_one_secret_are_refused() -> None:
    answer = helm("template", LOCAL, "externalSecrets.enabled=true")
    assert answer.returncode != 0
    assert "secrets.create and externalSecrets.enabled" in answer.stderr


def test_the_connector_scales_by_its_queues_with_keda() -> None:
    chart = render(PRODUCTION, "vehicleConnector.autoscaling.keda.enabled=true")
    assert "sovd-webapp-vehicle-connector" not in chart.names("HorizontalPodAutoscaler")
    scaled = chart.get("ScaledObject", "sovd-webapp-vehicle-connector")["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (3, 20)
    assert scaled["scaleTargetRef"]["name"] == "sovd-webapp-vehicle-connector"
    triggers = {each["type"]: each for each in scaled["triggers"]}
    assert triggers["cpu"]["metadata"] == {"value": "70"}
    queues = triggers["rabbitmq"]["metadata"]
    # vehicle_connector/dispatcher.py names them.
    assert (queues["queueName"], queues["useRegex"], queues["operation"]) == ("^connector[.]", "true", "sum")
    authentication = chart.get("TriggerAuthentication", triggers["rabbitmq"]["authenticationRef"]["name"])
    (target,) = authentication["spec"]["secretTargetRef"]
    external = chart.get("ExternalSecret", "sovd-webapp-external-secrets")["spec"]["target"]
    assert target["name"] == external["name"]
    assert external["template"]["data"][target["key"]].startswith("https://sovd:")


def test_without_the_connector_nothing_of_it_is_left() -> None:
    chart = render(PRODUCTION, "vehicleConnector.enabled=false")
    assert not [each for each in chart.objects if "vehicle-connector" in each["metadata"]["name"]]
    assert "sovd-webapp-vehicles" not in chart.names("Service")


def test_vehicles_dial_in_at_a_load_balancer_of_their_own(production: Rendered, local: Rendered) -> None:
    service = production.get("Service", "sovd-webapp-vehicles")
    assert service["spec"]["type"] == "LoadBalancer"
    assert [port["name"] for port in service["spec"]["ports"]] == ["session", "enrolment"]
    # Their TLS ends in the pods.
    assert "service.beta.kubernetes.io/aws-load-balancer-ssl-cert" not in service["metadata"]["annotations"]
    assert "sovd-webapp-vehicles" not in local.names("Service")


HANDED_THROUGH = (
    'vehicleConnector.public.through="nginx"',
    'vehicleConnector.public.host="vehicles.example.com"',
    'vehicleConnector.public.enrolmentHost="enrol.example.com"',
)


def test_nginx_hands_the_tls_of_vehicles_through_to_the_connector() -> None:
    chart = render(PRODUCTION, *HANDED_THROUGH)
    service = chart.get("Service", "sovd-webapp-vehicles")
    assert service["spec"]["type"] == "ClusterIP"
    assert "annotations" not in service["metadata"]
    entry = chart.get("Ingress", "sovd-webapp-vehicles")
    assert entry["metadata"]["annotations"]["nginx.ingress.kubernetes.io/ssl-passthrough"] == "true"
    assert entry["spec"]["ingressClassName"] == "nginx"
    assert "tls" not in entry["spec"]
    backends = {
        rule["host"]: path["backend"]["service"] for rule in entry["spec"]["rules"] for path in rule["http"]["paths"]
    }
    assert backends == {
        "vehicles.example.com": {"name": "sovd-webapp-vehicles", "port": {"name": "session"}},
        "enrol.example.com": {"name": "sovd-webapp-vehicles", "port": {"name": "enrolment"}},
    }
    assert [port["name"] for port in service["spec"]["ports"]] == ["session", "enrolment"]


def test_what_hands_tls_through_needs_names_and_a_connector_that_ends_it() -> None:
    through = "vehicleConnector.public.enabled=true,vehicleConnector.public.through=nginx"
    both = f"{through},vehicleConnector.public.host=v,vehicleConnector.public.enrolmentHost=e"
    for setting, complaint in (
        (f"{both},vehicleTls.enabled=false", "vehicleConnector.public.enabled: vehicles dial in from outside with"),
        (through, "vehicleConnector.public.host: the name that vehicles dial is needed"),
        (f"{through},vehicleConnector.public.host=v", "vehicleConnector.public.enrolmentHost: the name at which"),
    ):
        answer = helm("template", (), setting)
        assert answer.returncode != 0
        assert complaint in answer.stderr


def test_mutual_tls_between_the_services() -> None:
    chart = render(PRODUCTION, "grpcTls.enabled=true", 'grpcTls.secretName="grpc"')
    for component in ("gateway", "command-service", "vehicle-connector"):
        workload = chart.workload(component)
        (mounted,) = [each for each in workload.pod["volumes"] if each["name"] == "grpc-tls"]
        assert mounted["secret"]["secretName"] == "grpc"
        (mount,) = [each for each in workload.container["volumeMounts"] if each["name"] == "grpc-tls"]
        for name, value in workload.environment(chart).items():
            if name.startswith("GRPC_TLS_"):
                assert value.startswith(mount["mountPath"])
        # The kubelet's gRPC probes speak no TLS. The connector has a port for them.
        if component == "command-service":
            assert "grpc" not in workload.container["readinessProbe"]
    assert all(each["name"] != "grpc-tls" for each in chart.workload("web").pod["volumes"])


def test_vehicles_are_known_by_certificates(production: Rendered) -> None:
    connector, service = production.workload("vehicle-connector"), production.workload("command-service")
    secrets = {"vehicle-connector": "sovd-webapp-vehicle-tls", "command-service": "sovd-webapp-vehicle-ca"}
    for workload in (connector, service):
        (volume,) = [each for each in workload.pod["volumes"] if "secret" in each]
        (mount,) = [each for each in workload.container["volumeMounts"] if each["name"] == volume["name"]]
        assert volume["secret"]["secretName"] == secrets[workload.component]
        environment = workload.environment(production)
        files = [value for name, value in environment.items() if re.fullmatch(r"VEHICLE_\w+_FILE", name)]
        assert files
        assert all(file.startswith(f"{mount['mountPath']}/") for file in files)
    environment = connector.environment(production)
    assert "VEHICLE_CREDENTIAL_SECRET" not in environment
    assert connector.container["readinessProbe"]["grpc"]["port"] == int(environment["HEALTH_PORT"])
    policy = production.get("NetworkPolicy", "sovd-webapp-vehicle-connector")["spec"]["ingress"][0]
    assert [port["port"] for port in policy["ports"]] == [50052, 50053]


def test_what_vehicles_are_known_by_may_come_from_aws(production: Rendered) -> None:
    made = render(PRODUCTION, "externalSecrets.vehicleTls=true")
    names = set(made.names("ExternalSecret")) - set(production.names("ExternalSecret"))
    assert names == {"sovd-webapp-vehicle-tls", "sovd-webapp-vehicle-ca"}
    for name in names:
        external = made.get("ExternalSecret", name)["spec"]
        assert external["target"]["name"] == name
        assert external["secretStoreRef"]["name"] in made.names("SecretStore")
        (mounted,) = [
            (workload, mount["mountPath"])
            for workload in map(made.workload, ("command-service", "vehicle-connector"))
            for volume in workload.pod["volumes"]
            if volume.get("secret", {}).get("secretName") == name
            for mount in workload.container["volumeMounts"]
            if mount["name"] == volume["name"]
        ]
        files = [f"{mounted[1]}/{each['secretKey']}" for each in external["data"]]
        wanted = [value for value in mounted[0].environment(made).values() if value.startswith(f"{mounted[1]}/")]
        assert sorted(files) == sorted(wanted)
    without = render(
        PRODUCTION, "externalSecrets.vehicleTls=true", "vehicleTls.enabled=false", "vehicleConnector.enabled=false"
    )
    assert set(without.names("ExternalSecret")) == set(production.names("ExternalSecret"))


def test_without_certificates_no_vehicle_dials_in_from_outside() -> None:
    for files, settings, complaint in (
        (PRODUCTION, ("vehicleTls.enabled=false",), "production needs values for: vehicleTls.enabled"),
        (
            PRODUCTION,
            ("vehicleTls.enabled=false", "config.environment=staging"),
            "staging needs values for: vehicleTls.enabled",
        ),
        (
            PRODUCTION,
            ("vehicleTls.enabled=false", "config.environment=development", "vehicleConnector.public.enabled=false"),
            "externalSecrets.enabled: brings no vehicle-credential-secret",
        ),
        (LOCAL, ("vehicleConnector.public.enabled=true",), "vehicleConnector.public.enabled: vehicles dial in from"),
        (LOCAL, ("vehicleTls.enabled=true",), "local.simulator.enabled: simulated vehicles have no certificates"),
    ):
        answer = helm("template", files, *settings)
        assert answer.returncode != 0
        assert complaint in answer.stderr


def test_live_update_differs_in_what_it_needs_only() -> None:
    live = render((*LOCAL, "values-live-update.yaml"))
    for component in ("gateway", "command-service", "vehicle-connector"):
        container = live.workload(component).container
        assert container["securityContext"]["readOnlyRootFilesystem"] is False
        assert container["command"][:2] == ["sh", "-c"]
        assert "sovd serve" in container["command"][2]
    assert "command" not in render(LOCAL).workload("gateway").container
