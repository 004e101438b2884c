"""The closed set of reasons: of decisions, events and conditions alike. A new word here is a change of the API."""

from enum import StrEnum


class Reason(StrEnum):
    """Why something was decided, or is as it is."""

    # The Pack itself.
    MANIFEST_UNREADABLE = "ManifestUnreadable"
    NOT_REGISTERED = "NotRegistered"
    REGISTERED = "Registered"
    DELETING = "Deleting"
    PEER_UNREACHABLE = "PeerUnreachable"
    ACTION_FAILED = "ActionFailed"
    DONE = "Done"
    POOL_MISSING = "PoolMissing"
    POOL_TOO_SMALL = "PoolTooSmall"
    FLEET_FULL = "FleetFull"

    # Serving.
    RUNNING = "Running"
    DEPLOYING = "Deploying"
    SERVING_FAILED = "ServingFailed"
    SERVING_DIFFERED = "ServingDiffered"
    SERVING_LOST = "ServingLost"
    NO_REPLICA = "NoReplica"

    # Training.
    NOTHING_TO_LEARN = "NothingToLearn"
    TRAINING_STARTED = "TrainingStarted"
    TRAINING_SUCCEEDED = "TrainingSucceeded"
    TRAINING_FAILED = "TrainingFailed"
    TRAINING_CANCELLED = "TrainingCancelled"

    # The gate.
    GATE_STARTED = "GateStarted"
    GATE_RUNNING = "GateRunning"
    GATE_RUN_FAILED = "GateRunFailed"
    GATE_PASSED = "GatePassed"
    GATE_FAILED = "GateFailed"
    GATE_SKIPPED = "GateSkipped"
    GATE_TOO_FEW = "GateTooFew"

    # The rollout goes on, or holds.
    NO_ROLLOUT = "NoRollout"
    HELD = "Held"
    APPROVED = "Approved"
    HOLDING = "Holding"
    WAITS_FOR_REPLICAS = "WaitsForReplicas"
    WAITS_FOR_REQUESTS = "WaitsForRequests"
    WAITS_FOR_CLARITY = "WaitsForClarity"
    WAITS_FOR_APPROVAL = "WaitsForApproval"
    WAITS_FOR_WATCH = "WaitsForWatch"
    TOO_LITTLE_TRAFFIC = "TooLittleTraffic"
    PAUSED = "Paused"
    PINNED = "Pinned"

    # The rollout ends badly.
    DIGEST_REJECTED = "DigestRejected"
    BUNDLE_REFUSED = "BundleRefused"
    BUNDLE_QUARANTINED = "BundleQuarantined"
    MORE_ERRORS = "MoreErrors"
    SLOWER = "Slower"
    LESS_AGREEMENT = "LessAgreement"
    MORE_CORRECTIONS = "MoreCorrections"
    FEWER_HITS = "FewerHits"
    USER_ROLLBACK = "UserRollback"
    ROLLBACK_IMPOSSIBLE = "RollbackImpossible"
    # A decision whose reason is none of these: it was not this loop's.
    DECIDED_ELSEWHERE = "DecidedElsewhere"
