"""Network policies: default deny, and only the arrows of docs/architecture.md's picture."""

from collections.abc import Iterator

from tests.deploy.chart import LOCAL, PRODUCTION, Object, Rendered, Workload, render
from tests.deploy.test_chart_variants import HANDED_THROUGH

MONITORING = "namespace monitoring"

# From, to, port.
Arrow = tuple[str, str, int]

ARROWS: set[Arrow] = {
    ("load balancer", "gateway", 8000),
    ("load balancer", "web", 8080),
    ("gateway", "command-service", 50051),
    ("vehicle-connector", "command-service", 50051),
    ("vehicles", "vehicle-connector", 50052),
    # Its checks; where it hides the vehicles' addresses, the vehicles too.
    ("load balancer", "vehicle-connector", 50052),
    # Those that enrol.
    ("vehicles", "vehicle-connector", 50053),
    ("load balancer", "vehicle-connector", 50053),
    ("gateway", "stores", 5432),
    ("gateway", "stores", 6379),
    ("command-service", "stores", 5432),
    ("command-service", "stores", 6379),
    ("command-service", "stores", 5671),
    ("vehicle-connector", "stores", 5671),
    ("migrations", "stores", 5432),
    ("smoke-test", "gateway", 8000),
    ("smoke-test", "web", 8080),
    (MONITORING, "gateway", 9100),
    (MONITORING, "command-service", 9101),
    (MONITORING, "vehicle-connector", 9102),
}
LOCAL_ARROWS: set[Arrow] = {
    # In place of a load balancer.
    ("web", "gateway", 8000),
    ("gateway", "command-service", 50051),
    ("vehicle-connector", "command-service", 50051),
    ("gateway", "postgresql", 5432),
    ("command-service", "postgresql", 5432),
    ("migrations", "postgresql", 5432),
    ("gateway", "redis", 6379),
    ("command-service", "redis", 6379),
    ("command-service", "rabbitmq", 5672),
    ("vehicle-connector", "rabbitmq", 5672),
    ("smoke-test", "gateway", 8000),
    ("smoke-test", "web", 8080),
    ("monitoring", "gateway", 9100),
    ("monitoring", "command-service", 9101),
    ("monitoring", "vehicle-connector", 9102),
}
CIDRS = {"10.0.0.0/20": "load balancer", "10.0.32.0/20": "stores", "0.0.0.0/0": "vehicles"}


def policies(chart: Rendered, workload: Workload) -> list[Object]:
    """Those of the workload's own; what is for all is left out."""
    component = {"app.kubernetes.io/component": workload.component}
    chosen = (each["spec"] for each in chart.of_kind("NetworkPolicy"))
    return [each for each in chosen if component.items() <= each["podSelector"]["matchLabels"].items()]


def peers(rule: Object, side: str) -> Iterator[str]:
    for peer in rule[side]:
        if "ipBlock" in peer:
            yield CIDRS[peer["ipBlock"]["cidr"]]
        elif "namespaceSelector" in peer:
            yield f"namespace {peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}"
        else:
            yield peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]


def incoming(chart: Rendered) -> set[Arrow]:
    return {
        (peer, workload.component, port["port"])
        for workload in chart.workloads
        for policy in policies(chart, workload)
        for rule in policy.get("ingress", [])
        for peer in peers(rule, "from")
        for port in rule["ports"]
    }


def outgoing(chart: Rendered) -> set[Arrow]:
    return {
        (workload.component, peer, port["port"])
        for workload in chart.workloads
        for policy in policies(chart, workload)
        for rule in policy.get("egress", [])
        for peer in peers(rule, "to")
        for port in rule.get("ports", [])
    }


def test_everything_is_denied_to_all_pods(chart: Rendered) -> None:
    policy = chart.get("NetworkPolicy", "sovd-webapp-default-deny")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert "egress" not in policy
    for workload in chart.workloads:
        assert policy["podSelector"]["matchLabels"].items() <= workload.labels.items()


def test_every_workload_has_a_policy_of_its_own(chart: Rendered) -> None:
    for workload in chart.workloads:
        (policy,) = policies(chart, workload)
        assert policy["policyTypes"] == ["Ingress", "Egress"], workload.component


def test_no_rule_is_for_all(chart: Rendered) -> None:
    """A rule without peers, or without ports, would be for everybody, or for all ports."""
    for each in chart.of_kind("NetworkPolicy"):
        for rule in each["spec"].get("ingress", []):
            assert rule["from"]
            assert rule["ports"]
        for rule in each["spec"].get("egress", []):
            assert rule["to"]
            assert rule["ports"]


def test_production_has_the_arrows_of_the_picture() -> None:
    chart = render(PRODUCTION)
    ours = {each.component for each in chart.workloads}
    assert incoming(chart) == {arrow for arrow in ARROWS if arrow[1] in ours}
    assert outgoing(chart) == {arrow for arrow in ARROWS if arrow[0] in ours}


def test_in_one_cluster_both_ends_agree() -> None:
    chart = render(LOCAL)
    ours = {each.component for each in chart.workloads}
    assert outgoing(chart) == LOCAL_ARROWS
    assert {arrow for arrow in incoming(chart) if arrow[0] in ours} == LOCAL_ARROWS


def test_all_may_ask_for_names(chart: Rendered) -> None:
    policy = chart.get("NetworkPolicy", "sovd-webapp-dns")["spec"]
    (rule,) = policy["egress"]
    assert rule["to"][0]["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
    assert {(port["port"], port["protocol"]) for port in rule["ports"]} == {(53, "UDP"), (53, "TCP")}


def test_traces_and_dialed_vehicles_get_their_arrows() -> None:
    chart = render(
        PRODUCTION,
        'config.tracing.endpoint="http://collector.monitoring:14317/"',
        'networkPolicy.dialedVehicleCidrs=["10.0.32.0/20"]',
    )
    for component in ("gateway", "command-service", "vehicle-connector"):
        assert (component, MONITORING, 14317) in outgoing(chart)
    (policy,) = policies(chart, chart.workload("vehicle-connector"))
    assert {"to": [{"ipBlock": {"cidr": "10.0.32.0/20"}}]} in policy["egress"]


def test_vehicles_that_nginx_hands_through_come_from_nowhere_else() -> None:
    chart = render(PRODUCTION, *HANDED_THROUGH)
    connector = {arrow for arrow in incoming(chart) if arrow[1:] == ("vehicle-connector", 50052)}
    assert connector == {("namespace ingress-nginx", "vehicle-connector", 50052)}


def test_without_certificates_nobody_dials_in_from_outside(local: Rendered) -> None:
    assert {arrow for arrow in incoming(local) if arrow[1] == "vehicle-connector"} == {
        ("monitoring", "vehicle-connector", 9102),
        (MONITORING, "vehicle-connector", 9102),
    }


def test_it_can_be_left_to_others() -> None:
    assert not render(LOCAL, "networkPolicy.enabled=false").of_kind("NetworkPolicy")
