"""The fleet's configuration is one that Serve itself accepts, and says what was asked."""

from packline_core.config import MONITORING_APPLICATION
from packline_core.fleet.schema import Fleet, Network, PackApplication, build_config
from packline_core.serving.config import Limits, ServingConfig
from ray.serve.schema import ServeDeploySchema


def pack(name: str, **options: object) -> PackApplication:
    return PackApplication(ServingConfig(name, "echo", limits=Limits(max_queue=40)), **options)  # type: ignore


def test_serve_accepts_it_and_reads_what_was_meant() -> None:
    fleet = Fleet(
        (pack("b", min_replicas=2, max_replicas=2), pack("a", min_replicas=0, max_replicas=3, pool="gpu", gpus=0.5)),
        (MONITORING_APPLICATION,),
        Network(grpc_port=9123, http_port=8123),
    )
    read = ServeDeploySchema.model_validate(build_config(fleet))
    assert [app.name for app in read.applications] == [MONITORING_APPLICATION, "a", "b"]
    assert (read.grpc_options.port, read.http_options.host) == (9123, "127.0.0.1")
    assert read.grpc_options.enable_reflection
    servicers = read.grpc_options.grpc_servicer_functions
    assert "packline.echo.v1.echo_pb2_grpc.add_EchoServiceServicer_to_server" in servicers
    assert "grpc_health.v1.health_pb2_grpc.add_HealthServicer_to_server" in servicers
    assert len(servicers) == len(set(servicers))
    (scaled,), (fixed,) = read.applications[1].deployments, read.applications[2].deployments
    assert fixed.num_replicas == 2
    assert scaled.autoscaling_config["min_replicas"] == 0 and scaled.autoscaling_config["max_replicas"] == 3
    assert scaled.ray_actor_options.resources == {"pool_gpu": 0.001}
    assert scaled.user_config["pack"] == "a"


def test_the_same_fleet_gives_the_same_configuration_in_any_order() -> None:
    first, second = pack("a"), pack("b")
    assert build_config(Fleet((first, second))) == build_config(Fleet((second, first)))
