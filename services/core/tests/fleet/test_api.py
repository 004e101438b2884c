"""What Serve tells of its replicas, read rightly."""

from packline_core.fleet.api import ApplicationStatus, ReplicaStatus


def test_a_replica_that_hangs_in_an_update_takes_calls_and_counts() -> None:
    states = ("RUNNING", "UPDATING", "PENDING_MIGRATION", "STARTING", "STOPPING", "RECOVERING")
    replicas = tuple(ReplicaStatus(replica_id=state, state=state, node="", pid=None) for state in states)
    application = ApplicationStatus("invoices", "RUNNING", "", replicas)
    assert [replica.replica_id for replica in application.running] == ["RUNNING", "UPDATING", "PENDING_MIGRATION"]
